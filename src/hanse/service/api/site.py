"""The two APIs as Django sees them. OpenAPI is served at /api/v1/openapi.json and /api/agent/v1/openapi.json."""

from __future__ import annotations

from ninja import NinjaAPI

from hanse import __version__
from hanse.service.api import agent, machines, parcels, people, programme, replies, runs, usage
from hanse.service.api.auth import AgentAuth, UserAuth

user_api = NinjaAPI(
    title="Hanse", version=__version__, urls_namespace="api", auth=UserAuth(), docs_url=None, openapi_url="openapi.json"
)
agent_api = NinjaAPI(
    title="Hanse for agents", version=__version__, urls_namespace="agent-api", auth=AgentAuth(), docs_url=None,
    openapi_url="openapi.json",
)  # fmt: skip

for module in (people, machines, programme, runs, usage):
    user_api.add_router("", module.router)
agent_api.add_router("", agent.router)
agent_api.add_router("", parcels.router)

for api in (user_api, agent_api):
    replies.install(api)
agent.install(agent_api)
