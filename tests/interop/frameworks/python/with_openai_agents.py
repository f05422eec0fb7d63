"""The OpenAI Agents SDK."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from agents import Agent, OpenAIResponsesModel, Runner
from agents.mcp import MCPServerStreamableHttp, MCPUtil
from agents.tool_context import ToolContext
from openai import AsyncOpenAI

from signing import signed
from vendors import refused

PACKAGE = "openai-agents"
RENEWAL = "by `auth`, asked at each request"
PATIENCE = "`client_session_timeout_seconds`"
LIMITS = "lists at each turn unless `cache_tools_list`"


class Framework:
    def __init__(self, server: MCPServerStreamableHttp) -> None:
        self.server = server

    async def tools(self) -> dict[str, Any]:
        listed = await self.server.list_tools()
        return {tool.name: MCPUtil.to_function_tool(tool, self.server, False) for tool in listed}

    async def names(self) -> list[str]:
        return list(await self.tools())

    async def ask(self, at: str) -> None:
        for api, strict in [("openai", False), ("openai-strict", True)]:
            client = AsyncOpenAI(base_url=f"{at}/{api}", api_key="none", max_retries=0)
            model = OpenAIResponsesModel("gpt-5", client)
            config: Any = {"convert_schemas_to_strict": strict}
            await refused(Runner.run(Agent("test", model=model, mcp_servers=[self.server], mcp_config=config), "Hello"))

    async def call(self, name: str, arguments: Any) -> dict[str, Any]:
        tool = (await self.tools())[name]
        text = json.dumps(arguments)
        result = await self.server.call_tool(name, arguments)
        context = ToolContext(context=None, tool_name=name, tool_call_id="1", tool_arguments=text)
        shown = await tool.on_invoke_tool(context, text) if result.is_error else result.content[0].model_dump()
        told = shown if isinstance(shown, str) else shown["text"]
        failed = "told to the model" if result.is_error else ""
        return {"failed": failed, "text": told, "structured": result.structured_content}


@asynccontextmanager
async def connect(url: str, headers: Callable[[], dict[str, str]], patient: bool) -> AsyncIterator[Framework]:
    options = {"client_session_timeout_seconds": 100} if patient else {}
    params: Any = {"url": url, "auth": signed(httpx2.Auth, headers)}
    async with MCPServerStreamableHttp(params, **options) as server:
        yield Framework(server)
