// Files of data: each is loaded once, by a script element, when it is asked for. A page opened from
// disk may not fetch.
"use strict";

codonbench.load = (() => {
  const { element } = codonbench;
  const kinds = { // what calls us, where it lies, and what it is named for
    table: ["data/tables", (content) => content.id],
    model: ["data/models", (content) => content.id],
    questions: ["data/questions", (content) => content.table],
    rest: ["data/rest", (content) => content.table],
    answers: ["data/answers", (content) => content.row],
    row: ["rows", (content) => content.row],
  };
  const waiting = new Map(); // kind and id -> what to do with it
  for (const [kind, [, named]] of Object.entries(kinds))
    codonbench[kind] = (content) => waiting.get(`${kind} ${named(content)}`)?.resolve(content);

  return (kind, id) => {
    if (!/^[0-9a-f]{16}$/.test(id)) return Promise.reject(new Error("no such file"));
    const name = `${kind} ${id}`;
    if (!waiting.has(name)) {
      const entry = {};
      entry.promise = new Promise((resolve, reject) => Object.assign(entry, { resolve, reject }));
      waiting.set(name, entry);
      const onerror = () => { waiting.delete(name); entry.reject(new Error("its file is missing")); };
      document.head.append(element("script", { src: `${kinds[kind][0]}/${id}.js`, onerror }));
    }
    return waiting.get(name).promise;
  };
})();
