// Output schemas as apps declare them, and what apps answer in spite of them. Random, but the same in each run.

const SEED = 20261126;
const COUNT = 300;

/** Marks of JSON Schema's own, names that JavaScript has for itself, and names that need an alias. */
const NAMES = ['id', 'name', 'items', 'type', '$ref', 'First Name', 'a.b', 'ids[]', '创建', '', 'constructor', 'toString'];
const TYPES = ['string', 'number', 'integer', 'boolean', 'null', 'object', 'array'];
const SCALARS = [null, true, false, 0, -1.5, 1e300, 2 ** 53, '', 'a', '5', 'true', '{}', '2026-12-01', '2026-12-01T10:00:00Z', 'x\u2028y'];

/** What is declared, and what comes instead, each standing for a kind. */
const KNOWN = [
  [{ type: 'object', properties: { a: { type: 'string' } } }, { a: null }],
  [{ type: 'object', properties: { a: { type: 'string', nullable: true } } }, { a: null }],
  [{ type: 'object', properties: { a: { type: 'string', enum: ['x'] } } }, { a: 'y' }],
  [{ type: 'object', properties: { a: { const: 'x' } } }, { a: 7 }],
  [{ type: 'object', properties: { a: { type: 'string' } }, additionalProperties: false }, { a: 'x', b: 1 }],
  [{ type: 'object', properties: { a: { type: 'string' } }, required: ['a'] }, {}],
  [{ type: 'object', properties: { a: { type: 'string', format: 'date-time' } } }, { a: '1 December' }],
  [{ type: 'object', properties: { a: { type: 'string', format: 'date' } } }, { a: '2026-12-01T10:00:00Z' }],
  [{ type: 'object', properties: { a: { type: 'integer' } } }, { a: '5' }],
  [{ type: 'object', properties: { a: { type: 'array', items: { type: 'string' } } } }, { a: 'x' }],
  [{ type: 'object', properties: { a: { type: 'object', properties: { b: { type: 'number' } } } } }, { a: [] }],
  [{ type: 'object', properties: { a: { type: 'array', items: { type: 'object', required: ['b'] } } } }, { a: [{}, null, 1] }],
  [{ type: 'object', properties: { a: { type: 'number', minimum: 1, exclusiveMinimum: true } } }, { a: 1 }],
  [{ type: 'object', properties: { a: { type: 'string', pattern: '^(?=x)' } } }, { a: 'y' }],
  [{ type: 'object', properties: { a: { $ref: '#/nowhere' } } }, { a: 1 }],
  [{ type: 'object', properties: { a: { $ref: '#' } } }, { a: { a: { a: 'deep' } } }],
  [{ type: 'object', patternProperties: { '^x': { type: 'string' } }, additionalProperties: false }, { x1: 1, y: 2 }],
  [{ type: 'object', properties: { a: { type: 'any' } } }, { a: 1 }],
  [{ type: 'object', oneOf: [{ required: ['a'] }, { required: ['b'] }] }, { a: 1, b: 2 }],
  [{ type: 'object', not: {} }, {}],
  [{ type: 'array', items: { type: 'string' } }, ['x']],
  [{ type: 'string' }, 'x'],
  [{ type: 'object' }, [1, 2]],
  [{ type: 'object' }, null],
  [{ type: 'object' }, 'x'],
  [{}, 0],
  [{ $id: 'https://example.com/one', type: 'object', properties: { a: { type: 'string' } } }, { a: 'x' }],
  [{ $id: 'https://example.com/one', type: 'object', properties: { a: { type: 'number' } } }, { a: 1 }],
  [{ $schema: 'https://example.com/none', type: 'object' }, {}],
];

/** Numbers from 0 to 1, always the same ones (mulberry32). */
function numbers(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

class Random {
  #next = numbers(SEED);

  below(count) {
    return Math.floor(this.#next() * count);
  }

  chance(share) {
    return this.#next() < share;
  }

  of(list) {
    return list[this.below(list.length)];
  }

  list(most, make) {
    return Array.from({ length: this.below(most + 1) }, make);
  }

  /** An object of some names, each with what is made for it. */
  members(most, make) {
    return Object.fromEntries(this.list(most, () => [this.of(NAMES), make()]));
  }

  value(depth = 3) {
    const kind = this.below(depth > 0 ? 4 : 2);
    if (kind < 2) return this.of(SCALARS);
    return kind === 2 ? this.list(3, () => this.value(depth - 1)) : this.members(3, () => this.value(depth - 1));
  }

  schema(depth = 3) {
    if (this.chance(0.06)) return this.of([true, false, {}, null, 7, 'string', []]);
    if (this.chance(0.12)) return { $ref: this.of(['#', '#/$defs/a', '#/$defs/b', '#/nowhere', 'https://example.com/x']) };
    const schema = {};
    if (this.chance(0.9)) schema.type = this.chance(0.2) ? this.list(3, () => this.of(TYPES)) : this.of(TYPES);
    const inner = () => this.schema(depth - 1);
    if (depth > 0) {
      if (this.chance(0.6)) schema.properties = this.members(4, inner);
      if (this.chance(0.4)) schema.items = this.chance(0.2) ? this.list(2, inner) : inner();
      if (this.chance(0.1)) schema.prefixItems = this.list(2, inner);
      if (this.chance(0.3)) schema.additionalProperties = this.chance(0.5) ? this.chance(0.5) : inner();
      if (this.chance(0.1)) schema.patternProperties = { [this.of(['^a', '.', '[', '(?=a)'])]: inner() };
      for (const keyword of ['anyOf', 'oneOf', 'allOf']) if (this.chance(0.1)) schema[keyword] = this.list(3, inner);
      for (const keyword of ['not', 'if', 'then', 'contains']) if (this.chance(0.05)) schema[keyword] = inner();
    }
    const others = {
      required: [this.list(3, () => this.of(NAMES)), true, null],
      enum: [this.list(3, () => this.of(SCALARS)), null],
      const: SCALARS,
      format: ['date-time', 'date', 'email', 'uri', 'none-such', 7],
      pattern: ['^a+$', '[', '^(?!a)', '\\p{L}'],
      minimum: [0, '1'],
      exclusiveMinimum: [true, 1],
      minLength: [2, -1],
      maxItems: [1],
      minProperties: [2],
      uniqueItems: [true],
      nullable: [true],
      multipleOf: [2, 0],
      unevaluatedProperties: [false],
      $id: ['https://example.com/one', 'a b'],
      $schema: ['http://json-schema.org/draft-04/schema#', 'https://example.com/none'],
      description: ['Words', 7],
      default: SCALARS,
    };
    for (const [keyword, values] of Object.entries(others)) if (this.chance(0.06)) schema[keyword] = this.of(values);
    return schema;
  }

  /** A value that has something of what a schema says. */
  like(schema, depth = 4) {
    if (depth === 0 || typeof schema !== 'object' || schema === null || this.chance(0.15)) return this.value(2);
    const type = [schema.type ?? (schema.properties ? 'object' : 'array')].flat()[0];
    if (type === 'object') {
      const known = Object.entries(schema.properties ?? {}).filter(() => this.chance(0.8));
      const made = Object.fromEntries(known.map(([name, part]) => [name, this.like(part, depth - 1)]));
      return this.chance(0.3) ? { ...made, ...this.members(2, () => this.value(1)) } : made;
    }
    if (type === 'array') return this.list(3, () => this.like([schema.items].flat()[0], depth - 1));
    return this.chance(0.3) ? null : { string: 'a', number: 1.5, integer: 1, boolean: true, null: null }[type] ?? this.value(1);
  }
}

/** Actions of an app for the sandbox, each with its output schema, and with what it gives for any input. */
export function actions() {
  const random = new Random();
  const made = Array.from({ length: COUNT }, () => {
    const schema = random.schema();
    if (typeof schema === 'object' && schema !== null && !Array.isArray(schema)) {
      // Most declare an object, as actions do.
      if (random.chance(0.7)) Object.assign(schema, { type: 'object', properties: random.members(4, () => random.schema(2)) });
      if (random.chance(0.5)) schema.$defs = { a: random.schema(1), b: random.schema(1) };
    }
    return [schema, random.like(schema)];
  });
  return [...KNOWN, ...made].map(([outputSchema, value], i) => ({
    key: `give-${i}`,
    name: `Give ${i}`,
    description: '',
    type: 'connector-operation',
    inputSchema: { type: 'object', properties: {} },
    outputSchema,
    run: { do: 'output', value },
  }));
}
