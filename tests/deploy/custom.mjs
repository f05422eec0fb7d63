// Checks objects of operators' own kinds, which come as a JSON list on standard input, and prints what is wrong with each.
import { text } from 'node:stream/consumers';

const PACKAGES = {
  'monitoring.coreos.com': '@kubernetes-models/prometheus-operator',
  'external-secrets.io': '@kubernetes-models/external-secrets',
};

/** Returns the class that knows the schema of the object's kind. */
async function model({ apiVersion, kind }) {
  const [group] = apiVersion.split('/');
  const found = await import(`${PACKAGES[group]}/${apiVersion}/${kind}`);
  return found[kind] ?? found.default[kind];
}

/**
 * Returns the object, with a list of the paths of its fields that leave it as they are read. The checks are compiled code, which
 * passes what it does not know without a word; but it reads each field that it knows.
 */
function watched(object) {
  const unread = new Set();
  const watch = (value, path) => {
    if (value === null || typeof value !== 'object') return value;
    const inner = Object.fromEntries(Object.keys(value).map((key) => [key, watch(value[key], `${path}/${key}`)]));
    for (const key of Object.keys(value)) unread.add(`${path}/${key}`);
    const get = (target, key) => {
      unread.delete(`${path}/${String(key)}`);
      return Object.hasOwn(inner, key) ? inner[key] : target[key];
    };
    return new Proxy(value, { get });
  };
  return [watch(object, ''), unread];
}

let broken = 0;
for (const object of JSON.parse(await text(process.stdin))) {
  const Model = await model(object);
  try {
    const [spec, unread] = watched(object.spec);
    // The class would make a copy of what its constructor is given.
    Object.assign(new Model(object), { spec }).validate();
    const [unknown] = unread;
    if (unknown) throw new Error(`data/spec${unknown} is not known`);
  } catch (error) {
    broken += 1;
    console.error(`${object.kind} ${object.metadata.name}: ${error.message}`);
  }
}
process.exitCode = broken ? 1 : 0;
