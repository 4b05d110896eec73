"""One believable object of every public contract: the source of `schemas/examples/` and handy in other rooms' tests."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

from hanse.contracts.agentapi import (
    Assignment,
    Exchange,
    Hello,
    Observation,
    SyncRequest,
    SyncResponse,
    TelemetryBatch,
    Welcome,
)
from hanse.contracts.application import (
    Compute,
    Declarations,
    Draft,
    Jobs,
    MonthOfUse,
    OrganisationDetails,
    Project,
    WholeForm,
)
from hanse.contracts.base import Contract
from hanse.contracts.compliance import Because, Change, Check, Citation
from hanse.contracts.compliance import Obligation as Duty
from hanse.contracts.decision import Decision, Finding
from hanse.contracts.document import Basis, Document, DocumentField, DocumentSection
from hanse.contracts.enterprise import Accounts, Enterprise, Group
from hanse.contracts.event import Event
from hanse.contracts.forms import KeptDraft
from hanse.contracts.imports import AwardRow, ImportAsked, RowError
from hanse.contracts.job import JobReport, JobSpec, Step
from hanse.contracts.layout import Layout
from hanse.contracts.machine import Accelerator, Billing, Link, Machine, Partition, SchedulerFacts, Source
from hanse.contracts.outer import OuterCommit, OuterFile, OuterLaunch, OuterLeg, OuterRow, OuterShare, OuterTerms
from hanse.contracts.parcel import Parcel, ParcelFile, ParcelOrder, ParcelReport
from hanse.contracts.placement import Placement, PlacementOption, Unusable
from hanse.contracts.plan import Candidate, Interval, Memory, Plan, StepTime
from hanse.contracts.policy import IdentityMap, MaintenanceWindow, SitePolicy
from hanse.contracts.programme import Allocation, Application, ApplicationForm, CallObligation, CallTerms, Dated
from hanse.contracts.record import RunRecord
from hanse.contracts.release import Evaluation, EvaluationScore, Release, ReleaseFile
from hanse.contracts.run import Attempt, AttemptState, CodeBundle, Leg, Run, RunState
from hanse.contracts.scaling import Option, ScalingRow, ScalingTable
from hanse.contracts.site import BadNode, MachineState, Maintenance, PartitionState, QueueWait, SiteBudget, SiteJob
from hanse.contracts.spec import DatasetSpec, ModelSpec, TokenizerSpec, TrainSpec, WhereSpec
from hanse.contracts.telemetry import LedgerEntry, RankRow, Spread, StepSummary, TrainResult
from hanse.contracts.ticket import SignedTicket, Ticket, TicketDataset
from hanse.contracts.usage import UsageEntry
from hanse.contracts.watch import ComputeSeen, Difference, Permit, PermitForm, RunChange, WatchedCondition
from hanse.contracts.workload import ModelShape, Workload

AT = datetime(2027, 1, 14, 9, 41, 12, tzinfo=UTC)
LATER = datetime(2027, 1, 14, 9, 44, 2, tzinfo=UTC)
HASH = "7c1f09abe4d2" + "0" * 52

SHAPE = ModelShape(layers=4, hidden=256, heads=4, kv_heads=2, ffn=704, vocab=2048, context=256)
SPEC = TrainSpec(
    name="stdlib-lm",
    purpose="Complete lines of Python source, to show a whole training from call to report.",
    model=ModelSpec(shape=SHAPE),
    data=(DatasetSpec(name="python-stdlib", source="python-stdlib", licence="PSF-2.0"),),
    tokenizer=TokenizerSpec(vocab=2048),
    batch=32,
    tokens=1_000_000,
    precision="fp32",
    where=WhereSpec(max_gpu_hours=0.5, nodes=2),
)
LAYOUT = Layout(nodes=2, dp=2, micro_batch=8, accumulate=2)
MACHINE = Machine(
    id="local",
    name="This machine",
    site="here",
    nodes=2,
    accelerators_per_node=1,
    accelerator=Accelerator(
        name="one core", kind="cpu", memory_bytes=12_000_000_000, memory_bytes_per_s=8e9, peak_flops={"fp32": 5e10}
    ),
    in_node=Link(name="loopback", bytes_per_s=2e9, latency_s=5e-5),
    between_nodes=Link(name="loopback", bytes_per_s=2e9, latency_s=5e-5),
    partitions=(Partition(name="all", nodes=2, max_nodes=2, max_wall_time_s=86_400),),
    scheduler=SchedulerFacts(kind="local", rendezvous_host_rule="loopback"),
    billing=Billing(units_per_node_hour=1.0, rule="one GPU-hour an accelerator and hour"),
    internet_on_compute=True,
    sources=(Source(part="accelerator", url="file:///proc/cpuinfo", confidence="measured", read_on="2027-01-14"),),
    unknown=("watts of the processor",),
)
WORKLOAD = Workload(
    name="stdlib-lm",
    shape=SHAPE,
    context=256,
    vocab=2048,
    global_batch=32,
    total_tokens=1_000_000,
    precision="fp32",
    parameters=3_475_712,
    embedding_parameters=524_288,
    flops_per_token=2.1e7,
)
PLAN = Plan(
    workload=WORKLOAD,
    machine="local",
    partition="all",
    layout=LAYOUT,
    step_time=StepTime(
        parts={"matmul": 0.42, "attention": 0.05, "memory-bound": 0.11, "communication": 0.03, "optimiser": 0.02},
        total_s=Interval(low=0.5, expected=0.63, high=0.8),
    ),
    memory=Memory(
        parameters=13_902_848,
        gradients=13_902_848,
        optimiser=27_805_696,
        activations=180_000_000,
        other=60_000_000,
        limit=12_000_000_000,
    ),
    tokens_per_s=Interval(low=10_240, expected=13_003, high=16_384),
    mfu=0.61,
    steps=123,
    wall_time_s=Interval(low=61.5, expected=77.5, high=98.4),
    accelerator_seconds=155,
    why=("Two ranks each hold a whole copy; the model is small against 12 GB, so nothing need be sharded.",),
    estimates=("Bandwidth between the ranks is taken from loopback, not measured.",),
    considered=(
        Candidate(
            layout=LAYOUT, step_time_s=0.63, tokens_per_s=13_003, memory_bytes=295_611_392, fits=True, note="best"
        ),
    ),
    searched=18,
    machine_digest=HASH,
    made_at=AT,
)
JOB = JobSpec(
    name="hanse-att-4f7k2m",
    run_id="run-7h3k9q",
    attempt_id="att-4f7k2m",
    attempt_number=1,
    machine="local",
    partition="all",
    nodes=2,
    accelerators_per_node=1,
    wall_time_s=600,
    steps=(
        Step(name="prepare", argv=("hanse", "train", "--prepare"), nodes=1),
        Step(name="train", argv=("hanse", "train"), nodes=2),
    ),
)
TICKET = Ticket(
    run_id="run-7h3k9q",
    attempt_id="att-4f7k2m",
    machine="local",
    spec_hash=HASH,
    max_nodes=2,
    max_wall_time_s=600,
    max_accelerator_seconds=1800,
    datasets=(TicketDataset(name="python-stdlib", source="python-stdlib", licence="PSF-2.0"),),
    conditions=("Say that the model's output is made by AI.",),
    issued_at=AT,
    expires_at=datetime(2027, 1, 28, 9, 41, 12, tzinfo=UTC),
)
OUTER = OuterTerms(
    run_id="run-7f3a", inner_steps=200, codec="int8", fragments=4, overlap_steps=10,
    legs=(
        OuterLeg(name="lumi", public_key="A" * 43 + "="),
        OuterLeg(name="leonardo", public_key="B" * 43 + "=", inner_steps=120),
    ),
)  # fmt: skip
SHARES = (
    OuterShare(leg="lumi", part_sha256=HASH, tokens=13_107_200),
    OuterShare(leg="leonardo", part_sha256=HASH, tokens=7_864_320),
)
SIGNED = SignedTicket(ticket=TICKET, key_id="0f3a5b7c9d1e2f40", signature="c2lnbmF0dXJl")
ATTEMPT = Attempt(
    id="att-4f7k2m",
    leg_id="leg-2c8d4e",
    number=1,
    state=AttemptState.RUNNING,
    job_id="17",
    planned_at=AT,
    started_at=AT,
    last_step=40,
    accelerator_seconds=52,
    last_heard_at=LATER,
)
LEG = Leg(id="leg-2c8d4e", run_id="run-7h3k9q", machine="local", allocation_id="alc-9p2r6t", attempts=(ATTEMPT,))
PLACEMENT = Placement(
    options=(
        PlacementOption(
            machine="local",
            allocation_id="alc-9p2r6t",
            nodes=2,
            wait_s=Interval(low=0.0, expected=0.0, high=0.0),
            finish_s=Interval(low=70.0, expected=78.0, high=90.0),
            step_time_s=Interval(low=0.55, expected=0.62, high=0.71),
            accelerator_seconds=156,
            free_accelerator_seconds=36_000,
            data_there=True,
            reasons=("It starts at once.",),
        ),
    ),
    unusable=(Unusable(machine="leonardo-booster", reason="You have no hours there."),),
    why="local is the only one that can take it.",
    decided_at=AT,
)
RUN = Run(
    id="run-7h3k9q",
    name="stdlib-lm",
    project="prj-norrlyd",
    state=RunState.RUNNING,
    spec=SPEC,
    spec_hash=SPEC.digest(),
    plan=PLAN,
    legs=(LEG,),
    created_at=AT,
    created_by="ada",
    step=40,
    steps=123,
    used_accelerator_seconds=52,
    placement=PLACEMENT,
)
STEP = StepSummary(
    attempt=1,
    step=40,
    at=LATER,
    tokens=327_680,
    loss=5.21,
    grad_norm=0.84,
    lr=0.0021,
    step_s=Spread(min=0.61, median=0.62, max=0.63),
    data_s=Spread(min=0.002, median=0.002, max=0.003),
    compute_s=Spread(min=0.55, median=0.56, max=0.57),
    optimiser_s=Spread(min=0.02, median=0.02, max=0.03),
    memory_bytes=Spread(min=610e6, median=612e6, max=614e6),
    tokens_per_s=13_212.0,
)
RESULT = TrainResult(
    steps=123,
    tokens=1_007_616,
    final_loss=4.02,
    validation_loss=4.11,
    unigram_entropy=6.03,
    vocab=2048,
    parameters=3_475_712,
    dataset_tokens=6_120_000,
    training_s=78.2,
    sample_prompt="def ",
    sample_text="def __init__(self, name):\n    self.name = name\n",
    software={"torch": "2.13.0"},
    finished_at=LATER,
)
OBSERVATION = Observation(
    attempt_id="att-4f7k2m",
    epoch=3,
    sequence=12,
    at=LATER,
    state=AttemptState.RUNNING,
    job_id="17",
    raw_state="RUNNING",
    started_at=AT,
    nodes=("local-0", "local-1"),
    step=40,
    accelerator_seconds=52,
)
ASSIGNMENT = Assignment(
    attempt_id="att-4f7k2m",
    run_id="run-7h3k9q",
    number=1,
    desired="run",
    job=JOB,
    ticket=SIGNED,
    spec=SPEC,
    plan=PLAN,
    machine=MACHINE,
)
DECISION = Decision(
    subject="app-5d1n8w",
    verdict="condition",
    findings=(
        Finding(
            rule="transparency-generated-text",
            verdict="condition",
            reason="The model writes text.",
            citation="AI Act, Article 50(2)",
            confidence="secondary",
            condition="Say that the model's output is made by AI.",
            what_would_change_it="A model whose output no person reads.",
        ),
    ),
    decided_at=AT,
    decided_by="gate rules of 2026-11-22",
)
COMPLIANCE_CHECK = Check(
    as_of=date(2026, 12, 2),
    outcome="conditions",
    roles=("provider",),
    risk="limited",
    risks=("limited",),
    obligations=(
        Duty(
            id="transparency.tell",
            what="Tell people that they talk to AI.",
            roles=("provider",),
            citation="AI Act Art. 50(1)",
            link="https://eur-lex.europa.eu/eli/reg/2024/1689/oj",
            since=date(2026, 8, 2),
            confidence="secondary",
            rule="transparency.talks-to-people",
        ),
    ),
    upcoming=(),
    citations=(
        Citation(
            citation="AI Act Art. 50(1)",
            link="https://eur-lex.europa.eu/eli/reg/2024/1689/oj",
            source="https://law.example/reading",
            confidence="secondary",
            last_verified=date(2026, 11, 23),
        ),
    ),
    because=(
        Because(
            rule="transparency.talks-to-people",
            outcome="conditions",
            reason="People must be told that they talk to an AI system.",
            condition="Before release, people are told that it is AI.",
            answers={"talks-to-people": True},
            citation="AI Act Art. 50(1)",
            confidence="secondary",
            what_would_change_it="A system that people do not talk to.",
        ),
    ),
    conditions=("Before release, people are told that it is AI.",),
    would_change=(Change(question="talks-to-people", answer=False, outcome="pass"),),
    answers={"talks-to-people": True, "high-risk-uses": ("fraud-detection",)},
    assumed={"obviously-ai": False},
    rules="gate of 2026-11-23",
)
FORM = ApplicationForm(
    call="playground",
    organisation="Norrlyd",
    organisation_kind="start-up",
    country="SE",
    title="A small model of Python",
    purpose="Learn how to spread a training over nodes.",
    machine="local",
    gpu_hours=10,
    duration_months=1,
    contact_email="ada@norrlyd.example",
    answers={"civilian-use": True, "writes-text": True},
)
APPLICATION = Application(
    id="app-5d1n8w",
    state="granted",
    form=FORM,
    sent_at=AT,
    decided_at=LATER,
    reason="Fits.",
    allocation_id="alc-9p2r6t",
)
ALLOCATION = Allocation(
    id="alc-9p2r6t",
    project="prj-norrlyd",
    machine="local",
    granted_accelerator_seconds=36_000,
    used_accelerator_seconds=52,
    reserved_accelerator_seconds=1148,
    starts=date(2027, 1, 14),
    ends=date(2027, 2, 14),
)
USAGE = UsageEntry(
    id="use-3b6m1x", allocation_id="alc-9p2r6t", attempt_id="att-4f7k2m", accelerator_seconds=170, recorded_at=LATER
)
EVENT = Event(
    name="agent:attempt:started", subject_id="att-4f7k2m", actor="agent of local", at=AT, data={"job_id": "17"}
)

GROUP = Group(
    applicant="norrlyd",
    enterprises=(
        Enterprise(
            id="norrlyd",
            accounts=(Accounts(year=2026, staff=12.5, turnover_eur=900_000, balance_sheet_eur=400_000),),
        ),
    ),
)
OPTION = Option(
    machine="local",
    nodes=2,
    accelerators=2,
    layout=LAYOUT,
    global_batch=LAYOUT.global_batch,
    step_time_s=PLAN.step_time.total_s,
    tokens_per_s=PLAN.tokens_per_s,
    mfu=0.4,
    wall_time_s=PLAN.wall_time_s,
    accelerator_seconds=PLAN.accelerator_seconds,
    best=True,
)

READ_AT = Dated(url="https://example.eu/call", confidence="single-report", checked_on=date(2026, 11, 22))

REPORT = JobReport(
    job_id="17", name=JOB.name, state="completed", raw_state="COMPLETED", started_at=AT, ended_at=LATER,
    elapsed_s=170.0, exit_code=0, nodes=("local-0", "local-1"), accelerators=2,
)  # fmt: skip
STATE = MachineState(
    at=AT,
    partitions=(PartitionState(name="boost", up=True, nodes=3456, nodes_idle=12, nodes_down=31, pending_jobs=640),),
    waits=(QueueWait(partition="boost", nodes=16, wall_time_s=86_400, wait_s=7200.0),),
    maintenance=(Maintenance(name="cooling", starts=LATER, ends=LATER, reason="cooling loop 2"),),
    bad_nodes=(BadNode(name="lrdn0387", reason="link flaps"),),
)
ORDER = ParcelOrder(id="par-6m2k9d", run_id=RUN.id, kind="checkpoint", to_machine="lumi-g")
PARCEL = Parcel(
    id=ORDER.id, run_id=RUN.id, kind="checkpoint", from_machine="local", to_machine="lumi-g", step=40,
    files=(ParcelFile(path="checkpoints/step-00000040/COMPLETE", size_bytes=0, sha256=HASH),), packed_at=LATER,
)  # fmt: skip

AWARD_ROW = AwardRow(
    line=2, source="eurohpc", reference="EHPC-AIF-2026FL01-012", mode="fast-lane", title="Delivery notes",
    organisation="Norrlyd", pic="999999999", organisation_kind="start-up", country="SE",
    contact_email="ida@example.eu", machine="leonardo-booster", partition="boost_usr_prod", amount=Decimal("40000.5"),
    unit="core-hour", starts=date(2026, 12, 1), ends=date(2027, 2, 28),
)  # fmt: skip
EXAMPLES: dict[str, Contract] = {
    "train-spec": SPEC,
    "workload": WORKLOAD,
    "machine": MACHINE,
    "layout": LAYOUT,
    "plan": PLAN,
    "option": OPTION,
    "scaling-table": ScalingTable(
        kind="strong", machine="local", rows=(ScalingRow(option=OPTION, speed_up=1.0, efficiency=1.0),)
    ),
    "job-spec": JOB,
    "job-report": REPORT,
    "run": RUN,
    "leg": LEG,
    "attempt": ATTEMPT,
    "code-bundle": CodeBundle(sha256=HASH, size_bytes=18_432),
    "ticket": TICKET,
    "signed-ticket": SIGNED,
    "hello": Hello(machine=MACHINE, software="hanse 0.1.0"),
    "welcome": Welcome(epoch=3, ticket_key="a2V5"),
    "observation": OBSERVATION,
    "assignment": ASSIGNMENT,
    "machine-state": STATE,
    "site-job": SiteJob(report=REPORT, account="proj1", user="anna", partition="boost"),
    "site-budget": SiteBudget(account="proj1", at=AT, used=1250.0, limit=24_000.0, unit="node-hours"),
    "parcel-order": ORDER,
    "parcel": PARCEL,
    "parcel-report": ParcelReport(id=ORDER.id, side="send", state="moving", moved_bytes=8, total_bytes=64),
    "sync-request": SyncRequest(
        epoch=3, observations=(OBSERVATION,), telemetry=(TelemetryBatch(attempt_id="att-4f7k2m", rows=(STEP,)),)
    ),
    "sync-response": SyncResponse(acknowledged=12, assignments=(ASSIGNMENT,)),
    "rank-row": RankRow(step=40, rank=1, step_s=0.62, data_s=0.002, compute_s=0.56, optimiser_s=0.02),
    "step-summary": STEP,
    "ledger-entry": LedgerEntry(
        attempt=1, first_step=1, last_step=40, first_sample=0, samples=1280, tokens=327_680, dataset="python-stdlib",
        source="python-stdlib", licence="PSF-2.0", shards_sha256=HASH,
    ),
    "train-result": RESULT,
    "run-record": RunRecord(
        run=RUN, machines=(MACHINE,), allocations=(ALLOCATION,), application=APPLICATION, gate=DECISION,
        telemetry=(STEP,), result=RESULT, usage=(USAGE,), events=(EVENT,), made_at=LATER,
    ),
    "usage-entry": USAGE,
    "document": Document(
        kind="energy-statement",
        title="Energy and carbon statement",
        run_id="run-7f3a",
        about="stdlib-lm",
        basis=Basis(
            citation="AI Act, Annex XI, section 1, point 2(e)", url="https://artificialintelligenceact.eu/annex/11/",
            confidence="read", checked_on=date(2026, 11, 22),
        ),
        sections=(
            DocumentSection(
                title="Energy",
                fields=(
                    DocumentField(
                        id="energy", label="Energy", value="0.0114 kWh", number=0.0114, unit="kWh", origin="record",
                        records=("usage",), who="site", asked="Of all jobs of the run.",
                    ),
                    DocumentField(id="carbon-method", label="Intensity of the grid", origin="unknown", who="site"),
                ),
            ),
        ),
        made_at=LATER,
        keep_until=date(2037, 1, 14),
        record_sha256=HASH,
        facts_sha256=HASH,
    ),
    "decision": DECISION, "compliance-check": COMPLIANCE_CHECK,
    "event": EVENT,
    "call-terms": CallTerms(
        id="playground", mode="playground", title="Playground", summary="A first try on one machine.",
        opens=date(2026, 1, 1), max_gpu_hours=5000, durations_months=(1, 2, 3), who=("start-up", "sme"),
        decision_working_days=2,
        sources={"max_gpu_hours": READ_AT}, sections=("project", "compute"),
        obligations=(CallObligation(id="final-report", text="A final report.", months_after_end=3),),
    ),
    "award-row": AWARD_ROW,
    "import-asked": ImportAsked(
        kind="csv", name="awards.csv", sha256=HASH, rows=(AWARD_ROW,),
        unread=(RowError(line=3, column="amount", what="40.000 can be read as 40.000 or as 40000", fix="Write it."),),
    ),
    "kept-draft": KeptDraft(
        id="drf-2a3b4c5d6e", state="open", revision=4, draft=Draft(call="playground", call_version=1), saved_at=AT,
        saved_by="ida", shared_with="Norrlyd",
    ),
    "draft": Draft(call="playground", call_version=1, organisation="Norrlyd", whole=WholeForm(
        project=Project(title="A small model of Python", purpose="train-ai", duration_months=2),
        organisation=OrganisationDetails(vat_number="SE556012579001", group=GROUP),
        compute=Compute(
            machine="local", gpu_hours=10, jobs=Jobs(nodes_largest=2, wall_time_s=3600),
            by_month=(MonthOfUse(month=1, gpu_hours=4), MonthOfUse(month=2, gpu_hours=6, milestone="trained")),
        ),
        declarations=Declarations(civilian_use_only=True),
    )),
    "application": APPLICATION,
    "allocation": ALLOCATION,
    "watched-condition": WatchedCondition(
        id="cnd-7f3a", award="awd-7f3a", kind="compute", rule="gpai.notify", citation="AI Act Art. 52(1)",
        text="The Commission is notified by 2027-01-29.", parameters={"flops": 1e25}, due=date(2027, 1, 29),
        changed_at=LATER,
    ),
    "permit": Permit(
        id="prm-7f3a", award="awd-7f3a", state="confirmed", stated_by="anna", confirmed_by="olga",
        form=PermitForm(
            kind="health-data", number="HDAB-2027-1", issuer="A health data access body", purpose="Research",
            datasets=("records",), machines=("lumi-g",), valid_until=date(2027, 12, 31),
        ),
    ),
    "run-change": RunChange(
        id="chg-7f3a", award="awd-7f3a", verdict="condition", state="asked",
        differences=(Difference(what="purpose", was="Sort letters", now="Sort people"),),
    ),
    "compute-seen": ComputeSeen(
        run_id="run-7f3a", architecture_flops=8.4e22, hardware_flops=9.1e22, tokens=140_000_000_000,
        accelerator_seconds=300_000_000, at=LATER,
    ),
    "evaluation": Evaluation(
        tool="lm-eval", tool_version="0.4.9", model="hf", made_at=LATER, sha256=HASH,
        scores=(EvaluationScore(task="hellaswag", metric="acc_norm", value=0.41, error=0.005, shots=0, samples=42),),
    ),
    "release": Release(
        run_id="run-7f3a", name="stdlib-lm", version="1.0", licence="Apache-2.0", datasets=("stdlib",),
        parameters=1_000_000, files=(ReleaseFile(path="model.safetensors", sha256=HASH, size_bytes=4_000_000),),
        record_sha256=HASH, made_at=LATER,
    ),
    "outer-terms": OUTER,
    "outer-launch": OuterLaunch(leg="lumi", terms=OUTER),
    "exchange": Exchange(launch=OuterLaunch(leg="lumi", terms=OUTER), key="A" * 43 + "="),
    "outer-file": OuterFile(signature="c2lnbmF0dXJl", body=OuterCommit(
        run_id="run-7f3a", terms_sha256=HASH, leg="lumi", outer_step=3, fragment=1, previous_sha256=HASH,
        parts=SHARES, base_sha256=HASH, result_sha256=HASH, waited_s=41.5, at=AT,
    )),
    "outer-row": OuterRow(
        at=LATER, what="applied", leg="leonardo", attempt=1, step=480, outer_step=3, fragment=1, parts=SHARES,
        result_sha256=HASH, received_bytes=44_040_192, waited_s=12.5, norm=0.84,
    ),
    "site-policy": SitePolicy(
        projects=("norrlyd",), accounts=("proj1",), partitions=("boost",), max_nodes=8, max_wall_time_s=86_400,
        maintenance=(MaintenanceWindow(starts=AT, ends=LATER, reason="cooling"),),
        identity=IdentityMap(mode="sudo", users={"anna": "anna1"}, group="hanse"),
    ),
}  # fmt: skip
