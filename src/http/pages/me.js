
'use strict';
// Asks the server as an MCP client of revision 2026-07-28 does, which needs no session.
const REVISION = '2026-07-28';
const path = document.body.dataset.path;
const said = document.getElementById('said');
const list = document.getElementById('list');
let token = '';
let count = 0;

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function readMessage(text, type) {
  if (!type.includes('text/event-stream')) return JSON.parse(text);
  // A call that takes longer comes as events; the last message is its answer.
  const messages = text.split('\n').filter((line) => line.startsWith('data:')).map((line) => line.slice(5).trim()).filter(Boolean);
  return JSON.parse(messages[messages.length - 1]);
}

async function ask(query, method, params = {}) {
  const headers = {
    Authorization: `Bearer ${token}`,
    'Content-Type': 'application/json',
    Accept: 'application/json, text/event-stream',
    'MCP-Protocol-Version': REVISION,
    'Mcp-Method': method,
  };
  if (params.name) headers['Mcp-Name'] = params.name;
  const meta = {
    'io.modelcontextprotocol/protocolVersion': REVISION,
    'io.modelcontextprotocol/clientCapabilities': {},
    'io.modelcontextprotocol/clientInfo': { name: 'web-page', version: '1' },
  };
  const body = JSON.stringify({ jsonrpc: '2.0', id: ++count, method, params: { ...params, _meta: meta } });
  const response = await fetch(`${path}/mcp?${query}`, { method: 'POST', headers, body, cache: 'no-store', redirect: 'error' });
  const message = readMessage(await response.text(), response.headers.get('content-type') ?? '');
  if (message.error) throw new Error(message.error.message ?? message.error);
  if (!message.result) throw new Error(`the server answered with status ${response.status}`);
  return message.result;
}

async function call(name, args) {
  const result = await ask('mode=search', 'tools/call', { name, arguments: args });
  return { text: result.content.map((block) => block.text ?? '').join('\n'), isError: Boolean(result.isError) };
}

const STATES = {
  connected: ['Connected', 'good'],
  reconnect: ['Needs to be reconnected', 'warn'],
  building: ['Being set up', 'warn'],
  failed: ['Can\'t be used now', 'bad'],
  not_connected: ['Not connected', 'soft'],
};

function badge(text, kind) {
  return element('span', { className: `badge ${kind}`, textContent: text });
}

// A field for each simple property; one of JSON for whatever has an inner structure.
function field(name, schema, isRequired) {
  const id = `field-${++count}`;
  const label = element('label', { htmlFor: id, textContent: isRequired ? `${name} (required)` : name });
  let input;
  let read;
  if (Array.isArray(schema.enum) || schema.type === 'boolean') {
    input = element('select', {}, element('option', { value: '', textContent: '' }));
    const values = schema.enum ?? [true, false];
    values.forEach((value, i) => input.append(element('option', { value: String(i), textContent: String(value) })));
    read = () => values[Number(input.value)];
  } else if (schema.type === 'string') {
    input = element('input', { type: 'text', autocomplete: 'off' });
    read = () => input.value;
  } else if (schema.type === 'integer' || schema.type === 'number') {
    input = element('input', { type: 'number', step: schema.type === 'integer' ? '1' : 'any' });
    read = () => Number(input.value);
  } else {
    input = element('textarea', { placeholder: 'JSON', spellcheck: false });
    read = () => JSON.parse(input.value);
  }
  input.id = id;
  input.required = isRequired;
  const children = [label, input];
  if (schema.description) {
    const note = element('small', { id: `${id}-note`, textContent: schema.description });
    input.setAttribute('aria-describedby', note.id);
    children.push(note);
  }
  return { name, read: () => (input.value === '' ? undefined : read()), node: element('div', { className: 'field' }, ...children) };
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function tryForm(tool) {
  const { properties = {}, required = [] } = tool.inputSchema;
  const fields = Object.entries(properties).map(([name, schema]) => field(name, schema ?? {}, required.includes(name)));
  const verdict = element('p', { className: 'soft' });
  verdict.setAttribute('role', 'status');
  const output = element('pre', { hidden: true, tabIndex: 0 });
  output.setAttribute('aria-label', `Answer of ${tool.name}`);
  output.setAttribute('role', 'region');
  const run = element('button', { type: 'submit', className: 'main', textContent: 'Run' });
  const form = element('form', {}, ...fields.map((one) => one.node), run, verdict, output);
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    run.disabled = true;
    verdict.textContent = 'Running …';
    try {
      const args = {};
      for (const { name, read } of fields) {
        const value = read();
        if (value !== undefined) args[name] = value;
      }
      const { text, isError } = await call('run-read-tool', { name: tool.name, arguments: args });
      verdict.textContent = isError ? 'It failed:' : 'Its answer:';
      output.textContent = pretty(text);
      output.hidden = false;
    } catch (error) {
      verdict.textContent = `It failed: ${error.message}`;
      output.hidden = true;
    }
    run.disabled = false;
  });
  return form;
}

function toolNode(tool) {
  const reads = tool.annotations?.readOnlyHint === true;
  const head = element('p', {}, element('code', { textContent: tool.name }), ' ', badge(reads ? 'reads' : 'writes', reads ? 'good' : 'warn'));
  const node = element('div', { className: 'tool' }, head);
  if (tool.description) node.append(element('p', { className: 'soft', textContent: tool.description }));
  if (reads) {
    const button = element('button', { type: 'button', textContent: 'Try it' });
    button.setAttribute('aria-label', `Try it: ${tool.name}`);
    button.addEventListener('click', () => {
      const form = tryForm(tool);
      button.replaceWith(form);
      (form.querySelector('input, select, textarea') ?? form.querySelector('button')).focus();
    });
    node.append(button);
  }
  return node;
}

async function tools(app) {
  const found = [];
  let cursor;
  do {
    const page = await ask(`mode=static&apps=${encodeURIComponent(app)}`, 'tools/list', cursor ? { cursor } : {});
    found.push(...page.tools);
    cursor = page.nextCursor;
  } while (cursor);
  return found;
}

function stateBadge(status) {
  const [state, kind] = STATES[status] ?? [String(status), 'warn'];
  return badge(state, kind);
}

function accountNode({ account, name, status, default: isDefault }) {
  const node = element('li', {}, element('code', { textContent: account }), name ? ` ${name} ` : ' ');
  if (isDefault) node.append(badge('default', 'soft'), ' ');
  if (status) node.append(stateBadge(status));
  return node;
}

function appNode(key, app) {
  const inside = element('div');
  const node = element('details', {}, element('summary', {}, `${app.name ?? key} `, stateBadge(app.status)));
  if (app.reason) node.append(element('p', { className: 'soft', textContent: app.reason }));
  if (Array.isArray(app.accounts)) {
    node.append(element('p', { textContent: 'Accounts:' }), element('ul', {}, ...app.accounts.map(accountNode)));
  }
  node.append(inside);
  node.addEventListener('toggle', async () => {
    if (!node.open || inside.hasChildNodes()) return;
    if (app.status === 'not_connected') {
      inside.append(element('p', { className: 'soft', textContent: 'Its tools are there once it is connected.' }));
      return;
    }
    inside.append(element('p', { className: 'soft', textContent: 'Loading …' }));
    try {
      const found = await tools(key);
      const reads = found.filter((tool) => tool.annotations?.readOnlyHint === true).length;
      const summary = `${found.length} tools: ${reads} read, ${found.length - reads} write.`;
      inside.replaceChildren(element('p', { className: 'soft', textContent: summary }), ...found.map(toolNode));
    } catch (error) {
      inside.replaceChildren(element('p', { className: 'bad', textContent: error.message }));
    }
  });
  return node;
}

document.getElementById('open').addEventListener('submit', async (event) => {
  event.preventDefault();
  token = document.getElementById('token').value.trim();
  said.textContent = 'Loading …';
  list.replaceChildren();
  document.getElementById('found').hidden = true;
  try {
    const { text, isError } = await call('search-tools', { query: '' });
    if (isError) throw new Error(text);
    const apps = Object.entries(JSON.parse(text).apps);
    list.append(...apps.map(([key, app]) => appNode(key, app)));
    document.getElementById('found').hidden = false;
    said.textContent = apps.length === 0 ? 'No app is connected yet.' : `${apps.length} apps. Open one to see its tools.`;
  } catch (error) {
    said.textContent = `That did not work: ${error.message}`;
  }
});
