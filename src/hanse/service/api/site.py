"""The two APIs as Django sees them. OpenAPI is served at /api/v1/openapi.json and /api/agent/v1/openapi.json."""

from __future__ import annotations

from ninja import NinjaAPI

from hanse import __version__
from hanse.service.api import agent, machines, parcels, people, programme, replies, runs, usage
from hanse.service.api.auth import AgentAuth, UserAuth
from hanse.service.awarding import api as awarding
from hanse.service.compliance import api as compliance
from hanse.service.forms import api as forms
from hanse.service.imports import api as imports
from hanse.service.monitoring import api as monitoring
from hanse.service.notices import api as notices
from hanse.service.review import api as review

user_api = NinjaAPI(
    title="Hanse", version=__version__, urls_namespace="api", auth=UserAuth(), docs_url=None, openapi_url="openapi.json"
)
agent_api = NinjaAPI(
    title="Hanse for agents", version=__version__, urls_namespace="agent-api", auth=AgentAuth(), docs_url=None,
    openapi_url="openapi.json",
)  # fmt: skip

for module in (
    people, machines, programme, runs, usage, review, awarding, imports, monitoring, notices, forms,
    compliance,
):  # fmt: skip
    user_api.add_router("", module.router)
agent_api.add_router("", agent.router)
agent_api.add_router("", parcels.router)

for api in (user_api, agent_api):
    replies.install(api)
agent.install(agent_api)
