// To the trash and back: many files, a few at a time.

import { problem } from "./toast.js";

const parallel = 6;

// each asks the server for every ino. It gives those for which that worked, in any order, and
// what went wrong with another, in words; after one that went wrong no more are begun.
async function each(inos, ask, fine, step) {
  const queue = [...inos], done = [];
  let wrong = "";
  const work = async () => {
    while (queue.length && !wrong) {
      const ino = queue.shift();
      try {
        const answer = await ask(ino);
        if (answer.ok || fine.includes(answer.status)) done.push(ino);
        else wrong ||= await problem(answer);
      } catch {
        wrong ||= "The server cannot be reached.";
      }
      step?.(done.length);
    }
  };
  await Promise.all(Array.from({ length: parallel }, work));
  return { done, wrong };
}

// What is gone already counts as moved.
export const toTrash = (inos, step) => each(inos, (ino) => fetch(`/api/item/${ino}`, { method: "DELETE" }), [404], step);
export const fromTrash = (inos, step) => each(inos, (ino) => fetch(`/api/trash/${ino}/restore`, { method: "POST" }), [], step);
