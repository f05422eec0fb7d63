"""Pydantic AI's toolset."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from pydantic_ai.exceptions import ModelRetry
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.models.test import TestModel
from pydantic_ai.tools import RunContext
from pydantic_ai.usage import RunUsage

from signing import signed

PACKAGE = "pydantic-ai-slim"
RENEWAL = "by `auth`, asked at each request"
PATIENCE = "`read_timeout`"
LIMITS = "keeps the list until `list_changed`; `cache_tools=False` lists at each turn"


class Framework:
    def __init__(self, toolset: MCPToolset) -> None:
        self.toolset = toolset
        self.context = RunContext(deps=None, model=TestModel(), usage=RunUsage())

    async def names(self) -> list[str]:
        return list(await self.toolset.get_tools(self.context))

    async def forms(self) -> dict[str, list[Any]]:
        tools = [tool.tool_def for tool in (await self.toolset.get_tools(self.context)).values()]
        return {"OpenAI": [openai(tool) for tool in tools], "Anthropic": [anthropic(tool) for tool in tools], "Gemini": [google(tool) for tool in tools]}

    async def call(self, name: str, arguments: Any) -> dict[str, Any]:
        tools = await self.toolset.get_tools(self.context)
        try:
            result = await self.toolset.call_tool(name, arguments, self.context, tools[name])
        except ModelRetry as error:
            return {"failed": "told to the model, which tries again", "text": str(error), "structured": None}
        structured = result if isinstance(result, dict) else None
        return {"failed": "", "text": result if isinstance(result, str) else json.dumps(result), "structured": structured}


def openai(tool: Any) -> Any:
    from pydantic_ai.profiles.openai import OpenAIJsonSchemaTransformer

    return {"name": tool.name, "parameters": OpenAIJsonSchemaTransformer(tool.parameters_json_schema, strict=None).walk()}


def anthropic(tool: Any) -> Any:
    return {"name": tool.name, "parameters": tool.parameters_json_schema}


def google(tool: Any) -> Any:
    from pydantic_ai.profiles.google import GoogleJsonSchemaTransformer

    return {"name": tool.name, "parameters": GoogleJsonSchemaTransformer(tool.parameters_json_schema, strict=None).walk()}


@asynccontextmanager
async def connect(url: str, headers: Callable[[], dict[str, str]], patient: bool) -> AsyncIterator[Framework]:
    options = {"read_timeout": 600} if patient else {}
    async with MCPToolset(url, auth=signed(httpx2.Auth, headers), **options) as toolset:
        yield Framework(toolset)
