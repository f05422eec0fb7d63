"""Pydantic AI's toolset."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelRetry
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.bedrock import BedrockConverseModel
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.models.openai import OpenAIResponsesModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.bedrock import BedrockProvider
from pydantic_ai.providers.google import GoogleProvider
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.tools import RunContext
from pydantic_ai.usage import RunUsage

from signing import signed
from vendors import refused

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

    async def ask(self, at: str) -> None:
        openai = OpenAIProvider(base_url=f"{at}/openai", api_key="none")
        anthropic = AnthropicProvider(base_url=f"{at}/anthropic", api_key="none")
        google = GoogleProvider(base_url=f"{at}/gemini", api_key="none")
        bedrock = BedrockProvider(
            base_url=f"{at}/bedrock", region_name="us-east-1", aws_access_key_id="none", aws_secret_access_key="none"
        )
        for model in [
            OpenAIResponsesModel("gpt-5", provider=openai),
            AnthropicModel("claude-opus-5", provider=anthropic),
            GoogleModel("gemini-3-pro", provider=google),
            BedrockConverseModel("anthropic.claude-opus-5", provider=bedrock),
        ]:
            await refused(Agent(model, toolsets=[self.toolset]).run("Hello"))

    async def call(self, name: str, arguments: Any) -> dict[str, Any]:
        tools = await self.toolset.get_tools(self.context)
        try:
            result = await self.toolset.call_tool(name, arguments, self.context, tools[name])
        except ModelRetry as error:
            return {"failed": "told to the model, which tries again", "text": str(error), "structured": None}
        structured = result if isinstance(result, dict) else None
        return {"failed": "", "text": result if isinstance(result, str) else json.dumps(result), "structured": structured}


@asynccontextmanager
async def connect(url: str, headers: Callable[[], dict[str, str]], patient: bool) -> AsyncIterator[Framework]:
    options = {"read_timeout": 600} if patient else {}
    async with MCPToolset(url, auth=signed(httpx2.Auth, headers), **options) as toolset:
        yield Framework(toolset)
