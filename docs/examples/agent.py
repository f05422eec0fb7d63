"""An agent back end whose chats use the tools of their users' apps, in search mode.

    cargo run --release -- --sandbox                 # prints a token
    pip install mcp==2.3.0 httpx2==2.16.2
    MCP_TOKEN=… python docs/examples/agent.py

A scripted stand-in chooses what a model would; put your model's client in place of `ScriptedModel`.
"""

import asyncio
import json
import os

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

# `access=read` in the URL would let no chat change anything.
URL = os.environ.get("MCP_URL", "http://127.0.0.1:3000/mcp") + "?mode=search"


def token_of(user: str) -> str:
    """Your back end signs a token for its user with the workspace secret, for each request if it likes."""
    return os.environ["MCP_TOKEN"]


class ScriptedModel:
    """Does what a model does in most chats: searches once, runs the best hit, and tells the outcome."""

    def next(self, messages: list[dict]) -> dict:
        last = messages[-1]
        if last["role"] == "user":
            return {"tool": "search-tools", "arguments": {"query": last["text"]}}
        if last["tool"] == "search-tools":
            hit = json.loads(last["text"])["tools"][0]
            runner = "run-read-tool" if hit["access"] == "read" else "run-write-tool"
            # A model writes the arguments by the hit's input schema.
            return {"tool": runner, "arguments": {"name": hit["name"], "arguments": messages[0]["arguments"]}}
        return {"text": last["text"]}


async def answer(user: str, chat: str, text: str, arguments: dict) -> str:
    """Answers one message of a chat. Nothing is kept here between messages: the server knows the chat by its id."""
    headers = {"Authorization": f"Bearer {token_of(user)}", "x-chat-id": chat}
    messages = [{"role": "user", "text": text, "arguments": arguments}]
    model = ScriptedModel()
    async with (
        httpx2.AsyncClient(headers=headers, timeout=120) as http,
        Client(streamable_http_client(URL, http_client=http)) as client,
    ):
        # These five definitions are the same for every chat of a user, so a model's prompt cache holds them.
        tools = (await client.list_tools()).tools
        print(f"{chat}: {', '.join(tool.name for tool in tools)}")
        while True:
            step = model.next(messages)
            if "text" in step:
                return step["text"]
            print(f"{chat}: {step['tool']} {json.dumps(step['arguments'])}")
            result = await client.call_tool(step["tool"], step["arguments"])
            # A failed run is an answer as well: its text tells the model what to do.
            messages.append({"role": "tool", "tool": step["tool"], "text": result.content[0].text})


async def main() -> None:
    answers = await asyncio.gather(
        answer("ann", "chat-1", "list the channels of slack", {}),
        answer("ann", "chat-2", "create a contact in hubspot", {"email": "kim@example.com", "firstName": "Kim"}),
    )
    for text in answers:
        print(text[:200])


if __name__ == "__main__":
    asyncio.run(main())
