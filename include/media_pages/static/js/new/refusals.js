// @ts-check
/** Whose fault a refusal is: the APIs say `field: what is wrong; another: …`. */

/**
 * @param {string} message of the server
 * @param {string[]} names of the form's fields
 * @returns {{fields: Map<string, string>, rest: string}} what belongs to a field, and what to none
 */
export function perField(message, names) {
  const fields = new Map();
  const starts = [...message.matchAll(new RegExp(`(?:^|; )(${names.join("|")}): `, "g"))];
  if (!starts.length) return { fields, rest: message };
  starts.forEach((start, n) => {
    const from = start.index + start[0].length;
    const words = message.slice(from, starts[n + 1]?.index ?? message.length);
    fields.set(start[1], fields.has(start[1]) ? `${fields.get(start[1])}; ${words}` : words);
  });
  return { fields, rest: message.slice(0, starts[0].index) };
}
