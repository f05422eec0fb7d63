"""LangChain's adapters."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
from langchain_anthropic.chat_models import convert_to_anthropic_tool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_google_genai._function_utils import convert_to_genai_function_declarations
from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_mcp_adapters.tools import load_mcp_tools

from signing import signed

PACKAGE = "langchain-mcp-adapters"
RENEWAL = "by `auth`, asked at each request"
PATIENCE = "`session_kwargs`"
LIMITS = "lists once: `load_mcp_tools` again after a change"


class Framework:
    def __init__(self, session: Any) -> None:
        self.session = session
        self.tools: dict[str, Any] = {}

    async def names(self) -> list[str]:
        self.tools = {tool.name: tool for tool in await load_mcp_tools(self.session)}
        return list(self.tools)

    async def forms(self) -> dict[str, list[Any]]:
        await self.names()
        tools = list(self.tools.values())
        openai = [convert_to_openai_tool(tool)["function"] for tool in tools]
        anthropic = [convert_to_anthropic_tool(tool) for tool in tools]
        gemini = convert_to_genai_function_declarations(tools)
        declared = gemini.function_declarations if hasattr(gemini, "function_declarations") else [d for t in gemini for d in t.function_declarations]
        return {
            "OpenAI": [{"name": tool["name"], "parameters": tool["parameters"]} for tool in openai],
            "Anthropic": [{"name": tool["name"], "parameters": tool["input_schema"]} for tool in anthropic],
            "Gemini": [{"name": tool.name, "parameters": None} for tool in declared],
        }

    async def call(self, name: str, arguments: Any) -> dict[str, Any]:
        call = {"type": "tool_call", "id": "1", "name": name, "args": arguments}
        message = await self.tools[name].ainvoke(call)
        text = message.content if isinstance(message.content, str) else message.content[0]["text"]
        failed = "told to the model" if message.status == "error" else ""
        return {"failed": failed, "text": text, "structured": (message.artifact or {}).get("structured_content")}


@asynccontextmanager
async def connect(url: str, headers: Callable[[], dict[str, str]], patient: bool) -> AsyncIterator[Framework]:
    connection: Any = {"transport": "streamable_http", "url": url, "auth": signed(httpx.Auth, headers)}
    async with MultiServerMCPClient({"apps": connection}).session("apps") as session:
        yield Framework(session)
