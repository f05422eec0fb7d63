"""LangChain's adapters."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
from langchain_anthropic import ChatAnthropic
from langchain_google_genai import ChatGoogleGenerativeAI
from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_mcp_adapters.tools import load_mcp_tools
from langchain_openai import ChatOpenAI

from signing import signed
from vendors import refused

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

    async def ask(self, at: str) -> None:
        await self.names()
        openai = ChatOpenAI(model="gpt-5", base_url=f"{at}/openai", api_key="none", max_retries=0)
        strict = ChatOpenAI(model="gpt-5", base_url=f"{at}/openai-strict", api_key="none", max_retries=0)
        anthropic = ChatAnthropic(model="claude-opus-5", base_url=f"{at}/anthropic", api_key="none", max_retries=0)
        gemini = ChatGoogleGenerativeAI(model="gemini-3-pro", base_url=f"{at}/gemini", api_key="none", max_retries=1)
        for model, options in [(openai, {}), (strict, {"strict": True}), (anthropic, {}), (gemini, {})]:
            await refused(model.bind_tools(list(self.tools.values()), **options).ainvoke("Hello"))

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
