// Connects each framework as its documentation does: `connect(url, headers, isPatient)` gives what the probe asks of it.

import { createMCPClient } from '@ai-sdk/mcp'
import { MCPServerStreamableHttp, mcpToFunctionTool } from '@openai/agents'
import { convertToOpenAITool } from '@langchain/core/utils/function_calling'
import { MultiServerMCPClient } from '@langchain/mcp-adapters'
import { MCPClient } from '@mastra/mcp'

const shown = (content) => (typeof content === 'string' ? content : content.map((part) => part.text ?? '').join('\n'))
/** A fetch that sends what the headers are by then. */
const signed = (headers) => (url, init) => {
  const all = new Headers(init?.headers)
  for (const [name, value] of Object.entries(headers())) all.set(name, value)
  return fetch(url, { ...init, headers: all })
}

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
        async forms() {
          await names()
          const made = Object.entries(tools).map(([name, tool]) => ({ name, parameters: tool.inputSchema.jsonSchema }))
          return { 'AI SDK': made }
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
        async forms() {
          const tools = await server.listTools()
          return { OpenAI: tools.map((tool) => mcpToFunctionTool(tool, server, false)) }
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
    limits: 'lists once for each connection',
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
        async forms() {
          await names()
          return { OpenAI: tools.map((tool) => convertToOpenAITool(tool).function) }
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
        async forms() {
          await names()
          return { Mastra: Object.keys(tools).map((name) => ({ name, parameters: { type: 'object' } })) }
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
