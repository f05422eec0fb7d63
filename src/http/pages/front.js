
'use strict';
// Puts the token, and the mode, into what is there to copy. Nothing is sent.
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const token = document.getElementById('token');
const mode = document.getElementById('mode');
const said = document.getElementById('said');
const endpoint = document.querySelector('code [data-url]').textContent;
const signsIn = document.body.classList.contains('oauth');

function address(...pairs) {
  const query = pairs.filter(([, value]) => value).map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join('&');
  return query ? `${endpoint}?${query}` : endpoint;
}

function fill() {
  const key = token.value.trim();
  const hasKey = key !== '' || !signsIn;
  const shown = key || 'TOKEN';
  for (const span of all('.panel [data-url]')) {
    if (span.dataset.url === 'search') span.textContent = address(['mode', 'search']);
    else if (span.dataset.url === 'key') span.textContent = address(['token', hasKey && shown], ['mode', mode.value]);
    else span.textContent = address(['mode', mode.value]);
  }
  for (const span of all('[data-token]')) span.textContent = shown;
  for (const span of all('[data-auth]')) span.hidden = !hasKey;
  for (const span of all('[data-no-auth]')) span.hidden = hasKey;
  const headers = key ? { headers: { Authorization: `Bearer ${key}` } } : {};
  const url = address(['mode', mode.value]);
  const links = {
    cursor: `cursor://anysphere.cursor-deeplink/mcp/install?name=integration-app&config=${encodeURIComponent(btoa(JSON.stringify({ url, ...headers })))}`,
    vscode: `vscode:mcp/install?${encodeURIComponent(JSON.stringify({ name: 'integration-app', type: 'http', url, ...headers }))}`,
  };
  for (const link of all('[data-link]')) link.href = links[link.dataset.link];
  // Without a token, or a way to get one, a link would install what can't connect.
  for (const place of all('[data-install]')) place.hidden = key === '' && !signsIn;
}

async function copy(code) {
  const text = code.innerText;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Pages that came by plain HTTP from elsewhere have no clipboard: select, and copy as people do.
    getSelection().selectAllChildren(code);
    if (!document.execCommand('copy')) return 'Selected: copy it with your keyboard.';
  }
  return 'Copied.';
}

for (const snippet of all('.snippet')) {
  const button = document.createElement('button');
  button.type = 'button';
  button.textContent = 'Copy';
  button.addEventListener('click', async () => {
    said.textContent = await copy(snippet.querySelector('code'));
    button.textContent = said.textContent === 'Copied.' ? 'Copied' : 'Copy';
    setTimeout(() => { button.textContent = 'Copy'; }, 2000);
  });
  snippet.append(button);
}

const tabs = all('.tabs input');
function show() {
  for (const panel of all('.panel')) panel.hidden = !document.getElementById(panel.dataset.client).checked;
}
for (const tab of tabs) tab.addEventListener('change', show);
token.addEventListener('input', fill);
mode.addEventListener('change', fill);
show();
fill();
