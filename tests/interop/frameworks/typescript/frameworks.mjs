// Connects each framework as its documentation does: `connect(url, headers, isPatient)` gives what the probe asks of it.

import { createAnthropic } from '@ai-sdk/anthropic'
import { createGoogle } from '@ai-sdk/google'
import { createMCPClient } from '@ai-sdk/mcp'
import { createOpenAI } from '@ai-sdk/openai'
import { ChatAnthropic } from '@langchain/anthropic'
import { MultiServerMCPClient } from '@langchain/mcp-adapters'
import { ChatOpenAI } from '@langchain/openai'
import { Agent as MastraAgent } from '@mastra/core/agent'
import { MCPClient } from '@mastra/mcp'
import { Agent, MCPServerStreamableHttp, OpenAIResponsesModel, run } from '@openai/agents'
import { generateText } from 'ai'
import OpenAI from 'openai'
import { refused } from './vendors.mjs'

const shown = (content) => (typeof content === 'string' ? content : content.map((part) => part.text ?? '').join('\n'))
/** A fetch that sends what the headers are by then. */
const signed = (headers) => (url, init) => {
  const all = new Headers(init?.headers)
  for (const [name, value] of Object.entries(headers())) all.set(name, value)
  return fetch(url, { ...init, headers: all })
}
/** Models of the AI SDK, whose APIs are below `at`. */
const models = (at) => [
  createOpenAI({ baseURL: `${at}/openai`, apiKey: 'none' })('gpt-5'),
  createAnthropic({ baseURL: `${at}/anthropic`, apiKey: 'none' })('claude-opus-5'),
  createGoogle({ baseURL: `${at}/gemini`, apiKey: 'none' })('gemini-3-pro'),
]

export const frameworks = {
  'ai-sdk': {
    package: '@ai-sdk/mcp',
    renewal: 'by `fetch`, asked at each request',
    patience: '`timeout`',
    limits: '`tools()` lists once: ask again after a change',
    async connect(url, headers) {
      const client = await createMCPClient({ transport: { type: 'http', url, fetch: signed(headers) } })
      let tools = {}
      const names = async () => Object.keys((tools = await client.tools()))
      return {
        names,
        async ask(at) {
          await names()
          for (const model of models(at)) await refused(() => generateText({ model, tools, prompt: 'Hello', maxRetries: 0 }))
        },
        async call(name, args) {
          const result = await tools[name].execute(args, { toolCallId: '1', messages: [] })
          return { failed: result.isError ? 'told to the model' : '', text: shown(result.content), structured: result.structuredContent }
        },
        close: () => client.close(),
      }
    },
  },
  'openai-agents-js': {
    package: '@openai/agents',
    renewal: 'by `fetch`, asked at each request',
    patience: '`clientSessionTimeoutSeconds`',
    // Asserted: names that differ in nothing else are one to it.
    rename: (name) => name.replace(/[^a-zA-Z0-9]/g, '_'),
    limits: 'shows `-` in names as `_`; lists at each turn unless `cacheToolsList`',
    async connect(url, headers, isPatient) {
      const options = isPatient ? { clientSessionTimeoutSeconds: 100, timeout: 100_000 } : {}
      const server = new MCPServerStreamableHttp({ url, fetch: signed(headers), ...options })
      await server.connect()
      return {
        names: async () => (await server.listTools()).map((tool) => tool.name),
        async ask(at) {
          for (const [api, convertSchemasToStrict] of [['openai', false], ['openai-strict', true]]) {
            const client = new OpenAI({ baseURL: `${at}/${api}`, apiKey: 'none', maxRetries: 0 })
            const model = new OpenAIResponsesModel(client, 'gpt-5')
            const agent = new Agent({ name: 'test', model, mcpServers: [server], mcpConfig: { convertSchemasToStrict } })
            await refused(() => run(agent, 'Hello'))
          }
        },
        async call(name, args) {
          const result = await server.callTool(name, args)
          const content = result.content ?? result
          return { failed: result.isError ? 'told to the model' : '', text: shown(content), structured: result.structuredContent, content }
        },
        close: () => server.close(),
      }
    },
  },
  'langchain-js': {
    package: '@langchain/mcp-adapters',
    renewal: "by `authProvider`",
    patience: '`defaultToolTimeout`',
    limits: 'lists once for each connection; OpenAI refuses its tools with `strict`',
    async connect(url, headers, isPatient) {
      const options = isPatient ? { defaultToolTimeout: 100_000 } : {}
      const client = new MultiServerMCPClient({
        mcpServers: { apps: { transport: 'http', url, headers: headers(), ...options } },
        useStandardContentBlocks: false,
        prefixToolNameWithServerName: false,
      })
      let tools = []
      const names = async () => (tools = await client.getTools()).map((tool) => tool.name)
      return {
        names,
        async ask(at) {
          await names()
          // It leaves schemas as they are for `strict`, which OpenAI would refuse.
          const openai = new ChatOpenAI({ model: 'gpt-5', apiKey: 'none', maxRetries: 0, configuration: { baseURL: `${at}/openai` } })
          const anthropic = new ChatAnthropic({ model: 'claude-opus-5', apiKey: 'none', maxRetries: 0, anthropicApiUrl: `${at}/anthropic` })
          await refused(() => openai.bindTools(tools).invoke('Hello'))
          await refused(() => anthropic.bindTools(tools).invoke('Hello'))
        },
        async call(name, args) {
          const tool = tools.find((tool) => tool.name === name)
          try {
            const message = await tool.invoke({ type: 'tool_call', id: '1', name, args })
            return { failed: message.status === 'error' ? 'told to the model' : '', text: shown(message.content), structured: message.artifact?.structuredContent }
          } catch (error) {
            if (error.name !== 'ToolException') throw error
            return { failed: 'raises `ToolException`', text: error.message }
          }
        },
        close: () => client.close(),
      }
    },
  },
  mastra: {
    package: '@mastra/mcp',
    renewal: 'by `fetch`, asked at each request',
    patience: '`timeout`',
    limits: '–',
    async connect(url, headers, isPatient) {
      const options = isPatient ? { timeout: 100_000 } : {}
      const client = new MCPClient({ id: crypto.randomUUID(), servers: { apps: { url: new URL(url), fetch: signed(headers), connectTimeout: 30_000, ...options } } })
      let tools = {}
      const names = async () => Object.keys((tools = (await client.listToolsets()).apps ?? {}))
      await names()
      return {
        names,
        async ask(at) {
          await names()
          for (const model of models(at)) {
            const agent = new MastraAgent({ id: 'test', name: 'test', instructions: 'Hello', model, tools, maxRetries: 0 })
            await refused(() => agent.generate('Hello'))
          }
        },
        async call(name, args) {
          try {
            const result = await tools[name].execute(args, {})
            const content = result?.content ? shown(result.content) : JSON.stringify(result)
            return { failed: result?.isError ? 'told to the model' : '', text: content, structured: result?.content ? undefined : result }
          } catch (error) {
            if (!/email|summary/.test(error.message)) throw error
            return { failed: 'raises an error', text: error.message }
          }
        },
        close: () => client.disconnect(),
      }
    },
  },
}
