"""Every verb with its one-line help and its examples, as data: `hanse --help` lists them without importing any.

A verb's module is `hanse.cli.verbs.<name>`; adding a verb here makes it public (tests/cli holds the frozen list).
"""

from __future__ import annotations

from typing import NamedTuple


class Example(NamedTuple):
    command: str
    why: str


class Verb(NamedTuple):
    name: str
    group: str
    help: str
    examples: tuple[Example, ...] = ()
    hidden: bool = False
    passes_through: bool = False
    """All arguments, --help too where it stands behind others, go to another program."""
    module: str = ""
    """Where the verb's name is a word of Python; else the module is called as the verb."""


START, TRAIN, COMPUTE, RUN_IT = "Start here", "Train", "Get compute", "Keep it running"
GROUPS = (START, TRAIN, COMPUTE, RUN_IT)

VERBS: tuple[Verb, ...] = (
    Verb(
        "demo",
        START,
        "The whole journey on this machine, in one command.",
        (
            Example("hanse demo", "a small language model, start to report, in under four minutes"),
            Example("hanse demo --out /tmp/report.html", "the report elsewhere than in this folder"),
        ),
    ),
    Verb(
        "doctor",
        START,
        "What this machine has, what is missing, how to get it.",
        (
            Example("hanse doctor", "before the first demo, or when something does not start"),
            Example("hanse doctor --json", "the same facts for a program or a support ticket"),
        ),
    ),
    Verb(
        "version", START, "Print Hanse's version and those of what it runs on.", (Example("hanse version --json", ""),)
    ),
    Verb(
        "plan",
        TRAIN,
        "How to lay a training out, and what it will take.",
        (
            Example("hanse plan train.yaml", "on the first machine train.yaml allows"),
            Example("hanse plan train.yaml --machine leonardo --nodes 8", "on another machine, at a size of yours"),
            Example("hanse plan train.yaml --details --html plan.html", "all of it, and as a page with plots"),
            Example("hanse plan train.yaml --whole-space --export megatron", "the layout for another trainer"),
            Example(
                "hanse plan train.yaml --all-machines --finish-by 30d", "where it could run, and what it would cost"
            ),
            Example("hanse plan train.yaml --why-not tp=8,pp=4", "what another layout would lose"),
            Example(
                "hanse plan train.yaml --across leonardo,lumi-g --link 10", "one machine, or several at the same time"
            ),
            Example("hanse plan train.yaml --scaling strong --format markdown", "a table for an application"),
            Example(
                "hanse plan --preset llama-3-70b --batch 1024 --tokens 2T --machine leonardo-booster --whole-space",
                "without a file",
            ),
            Example("hanse plan train.yaml --json > plan.json", "the plan as a file"),
        ),
    ),
    Verb(
        "launch",
        TRAIN,
        "Run train.yaml against one of your allocations.",
        (
            Example("hanse launch train.yaml --watch", "launch and look on"),
            Example("hanse launch train.yaml --dry-run", "what would be run, line by line, without running it"),
            Example("hanse launch train.yaml --smoke", "ten steps first; the real run only if they go well"),
        ),
    ),
    Verb(
        "pack",
        TRAIN,
        "Bundle code and wheels for nodes without internet.",
        (
            Example("hanse pack train.yaml -m leonardo-booster", "one file that installs itself there, offline"),
            Example("hanse pack -m jupiter-booster --python 3.12", "for Arm processors and another Python"),
            Example("hanse pack -m lumi-g --apptainer", "and a definition to build a container from it"),
        ),
    ),
    Verb(
        "stage",
        TRAIN,
        "Bring data to a machine: resumable and verified.",
        (
            Example(
                "hanse stage corpus/ leonardo-booster:/leonardo_work/EUHPC_A01/corpus --host me@login.example",
                "again after a cut: it goes on where it was",
            ),
            Example(
                "hanse stage train.yaml leonardo-booster: --host me@login.example", "all data it names, same paths"
            ),
            Example("hanse stage s3://bucket/corpus lumi-g:/scratch/p1/corpus", "on the login node, from a store"),
        ),
    ),
    Verb(
        "status",
        TRAIN,
        "List your runs, or look at one.",
        (
            Example("hanse status", "all runs, latest first"),
            Example("hanse status stdlib-lm", "its legs and attempts, and why it waits"),
            Example("hanse status --watch", "all runs and machines, live"),
            Example("hanse status stdlib-lm --watch", "one run, live"),
            Example("hanse status stdlib-lm --json", "one run as facts"),
        ),
    ),
    Verb(
        "logs",
        TRAIN,
        "Print what a run's jobs have written.",
        (
            Example("hanse logs", "of the latest run"),
            Example("hanse logs stdlib-lm -f", "and keep following, from attempt to attempt and machine to machine"),
        ),
    ),
    Verb(
        "shell",
        TRAIN,
        "A shell where a run works, with its job's variables.",
        (
            Example("hanse shell", "in the folder of the latest run, or inside its Slurm job"),
            Example("hanse shell stdlib-lm", "another run"),
            Example("hanse shell local", "where the runs of this machine lie"),
        ),
    ),
    Verb(
        "cancel",
        TRAIN,
        "Stop a run; what it checkpointed stays.",
        (Example('hanse cancel stdlib-lm --reason "wrong data"', ""),),
    ),
    Verb(
        "retry",
        TRAIN,
        "Begin a failed or cancelled run anew, from its last checkpoint.",
        (Example("hanse retry stdlib-lm", "where it was"), Example("hanse retry stdlib-lm -m lumi-g", "elsewhere")),
    ),
    Verb(
        "report",
        TRAIN,
        "Write a run's report: one HTML file that stands alone.",
        (
            Example("hanse report", "of the latest run, to report.html"),
            Example("hanse report stdlib-lm --out monday.html", "another run, another file"),
            Example("hanse report stdlib-lm --json > run.json", "the record the report is made from"),
        ),
    ),
    Verb(
        "apply",
        COMPUTE,
        "Apply to a call for compute; hear at once what the gate says.",
        (
            Example("hanse apply --call playground", "asks for what it needs to know"),
            Example("hanse apply --from application.yaml", "from a file, without questions"),
            Example("hanse apply --from application.yaml --check", "only what the gate would say; nothing is sent"),
            Example(
                "hanse apply --suggest --gpu-hours 40000 --kind sme --country DE",
                "which call suits, and why not others",
            ),
            Example("hanse apply --draft mine.yaml --call fast-lane", "begin the whole form; what it lacks is listed"),
            Example("hanse apply --draft mine.yaml --plan plan.json", "fill it from a plan"),
            Example("hanse apply --draft mine.yaml --send", "send it, once it is complete"),
        ),
    ),
    Verb(
        "comply",
        COMPUTE,
        "What the AI Act and the programme ask of a project, on any day.",
        (
            Example("hanse comply questions --template > answers.yaml", "a file of answers to begin with"),
            Example("hanse comply check answers.yaml", "outcome, duties and dates, with where each stands"),
            Example("hanse comply check answers.yaml --as-of 2027-12-02 --json", "on another day, as facts"),
            Example("hanse comply check answers.yaml --plan train.yaml", "computation and data from a plan"),
            Example("hanse comply rules --as-of 2026-12-02", "the rules in force on a day"),
            Example("hanse comply documents --out documents", "the latest run's documents, filled from its record"),
            Example("hanse comply verify documents", "whether they still say what the records say"),
            Example(
                "hanse comply evaluation stdlib-lm results.json", "results of lm-eval or COMPL-AI, kept with the run"
            ),
        ),
    ),
    Verb(
        "publish",
        TRAIN,
        "A finished model as a folder to release, checked and told to the service.",
        (
            Example("hanse publish --licence Apache-2.0", "the latest run: weights, card, documents, hashes"),
            Example("hanse publish stdlib-lm --facts facts.yaml --out release", "with what only people know"),
            Example("hanse publish --check release", "whether a release is as it claims"),
        ),
    ),
    Verb(
        "machines",
        COMPUTE,
        "The machines Hanse knows; describe or calibrate your own.",
        (
            Example("hanse machines list", "all of them, with what they have"),
            Example("hanse machines show leonardo", "one of them, with where each value was read"),
            Example("hanse machines check my-cluster.yaml", "a description of your own"),
            Example("hanse machines calibrate", "measure this machine, so that plans for it are good"),
        ),
    ),
    Verb(
        "connect",
        COMPUTE,
        "Use your own hours on a machine, over SSH: look, save, and launch there.",
        (
            Example(
                "hanse connect leonardo --account EUHPC_A01 --host me@login.example",
                "ready and saved, or what is missing",
            ),
            Example("hanse connect my-cluster.yaml --account proj1 --look-only --json", "on its login node, as facts"),
            Example("hanse connect --list", "the saved ones; --forget MACHINE drops one"),
        ),
    ),
    Verb(
        "usage",
        COMPUTE,
        "What was used of an allocation, and how long the rest lasts.",
        (
            Example("hanse usage", "of your only allocation; a list if you have several"),
            Example("hanse usage alc-7h3k9qm2xa --json", "one of them, entry by entry"),
            Example("hanse usage --month 2026-10 --csv", "of all allocations, for a programme's monthly report"),
        ),
    ),
    Verb(
        "serve",
        RUN_IT,
        "Run the service; see or stop the one in the background.",
        (
            Example("hanse serve", "in the foreground, on 127.0.0.1"),
            Example("hanse serve --status", "what runs in the background on this machine"),
            Example("hanse serve --stop", "stop it; runs go on and are picked up again"),
        ),
    ),
    Verb(
        "agent",
        RUN_IT,
        "Run a machine's agent: it submits jobs and reports on them.",
        (
            Example("hanse agent --machine local", "for this machine's own cores"),
            Example(
                "HANSE_TOKEN=… hanse agent --machine my-cluster.yaml --url https://hanse.example.eu", "beside a Slurm"
            ),
        ),
    ),
    Verb(
        "site",
        RUN_IT,
        "For a site's administrator: Slurm accounts and limits of an award.",
        (
            Example("hanse site provision alc-7h3k9qm2xa --user ada", "the commands, and why each; nothing is changed"),
            Example("hanse site provision alc-7h3k9qm2xa --user ada --apply", "run those that are still lacking"),
            Example("hanse site provision alc-7h3k9qm2xa --end --apply", "close it; what was used stays on record"),
        ),
    ),
    Verb(
        "import",
        RUN_IT,
        "For officers: awards decided elsewhere, from a file or a Waldur.",
        (
            Example("hanse import awards awards.csv --dry-run", "what every row would do; nothing is kept"),
            Example("hanse import awards awards.csv", "prepare it; another officer confirms it"),
            Example(
                "hanse import waldur https://waldur.example.eu --token-file waldur.token --mode fast-lane",
                "what is in use there",
            ),
            Example("hanse import confirm imp-7h3k9qm2xa", "as that other officer"),
        ),
        module="importing",
    ),
    Verb(
        "train",
        RUN_IT,
        "What a job executes on each node; not started by hand.",
        (Example("hanse train --prepare", "inside a job: tokenise and pack the data"),),
        passes_through=True,
    ),
    Verb(
        "manage",
        RUN_IT,
        "Django's management commands, on this installation's database.",
        (Example("hanse manage createsuperuser", ""), Example("hanse manage migrate", "")),
        hidden=True,
        passes_through=True,
    ),
)

BY_NAME: dict[str, Verb] = {verb.name: verb for verb in VERBS}
