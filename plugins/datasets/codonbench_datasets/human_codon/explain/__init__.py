"""Which letter of an input a trained model leans on, by two methods that share one question.

The question is the advantage of the true class: its logit less the mean logit of its rivals. A
softmax does not see a number added to all logits, so a bare logit means nothing; the advantage is
free of that number, and is linear in the logits, so that it can be averaged over inputs.
"""
