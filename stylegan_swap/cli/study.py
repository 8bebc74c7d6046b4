"""``stylegan-swap study``: build, serve and analyse a user study; a thin skin over the package."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Literal

import typer

from stylegan_swap.cli import options
from stylegan_swap.errors import StyleganSwapError

study_app = typer.Typer(
    name="study",
    help="Let people judge swaps: build a study, serve it on a page, analyse the answers.",
    no_args_is_help=True,
)


class Question(str, Enum):
    """What can be asked; an Enum because typer knows no lists of literals."""

    IDENTITY = "identity"
    ATTRIBUTE = "attribute"
    NATURAL = "natural"


StudyFolder = Annotated[Path, typer.Argument(metavar="STUDY", help="Folder made by study build.")]


@study_app.command()
def build(
    results: Annotated[Path, typer.Argument(help="Folder with METHOD/pairs.csv of every method.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="New folder for the study.")],
    identities: Annotated[Path, typer.Option(help="Folder the identity photos' paths start from.")],
    attributes: Annotated[Path, typer.Option(help="Folder the attribute photos' paths start from.")],
    method: Annotated[list[str] | None, typer.Option(help="Give it once per method; all otherwise.")] = None,
    kind: Annotated[Literal["2afc", "mos"], typer.Option(help="2afc: A against B; mos: 1 to 5.")] = "2afc",
    question: Annotated[list[Question] | None, typer.Option(help="Once per question; all otherwise.")] = None,
    items: Annotated[int, typer.Option(min=1, help="Items per rater; each has all questions.")] = 18,
    checks: Annotated[int, typer.Option(min=0, help="Attention checks per rater.")] = 8,
    duplicates: Annotated[int, typer.Option(min=0, help="Items each rater sees twice.")] = 3,
    ties: Annotated[bool, typer.Option("--ties/--no-ties", help="2afc: offer 'no difference'.")] = True,
    size: Annotated[int, typer.Option(min=32, help="Longest side of the pictures in pixels.")] = 512,
    seed: Annotated[int, typer.Option(min=0, help="Of all random choices.")] = 0,
    title: Annotated[str, typer.Option(help="Heading of the page.")] = "Which picture?",
    consent: Annotated[
        Path | None, typer.Option(help="Text file raters agree to, instead of the default.")
    ] = None,
) -> None:
    """Make a study from the results of several methods on the same photo pairs."""
    from stylegan_swap.evaluation.study.build import Options, build_study
    from stylegan_swap.evaluation.study.manifest import CONSENT

    questions = tuple(each.value for each in question or list(Question))
    options = Options(
        kind=kind,
        questions=questions,
        items=items,
        checks=checks,
        duplicates=duplicates,
        ties=ties,
        size=size,
        seed=seed,
        title=title,
        consent=CONSENT if consent is None else _read_text(consent),
    )
    study = build_study(results, output, identities, attributes, method or (), options)
    pairs = len({item.pair for item in study.items})
    steps = (study.items_per_rater + study.duplicates_per_rater) * len(questions) + study.checks_per_rater
    raters = -(-len(study.items) // study.items_per_rater)
    typer.echo(
        f"{output}  ({len(study.methods)} methods, {pairs} photo pairs, {len(study.items)} items; "
        f"{steps} questions per rater, {raters} raters see every item once)"
    )


@study_app.command()
def serve(
    study: StudyFolder,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 lets phones in the same network in.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
) -> None:
    """Show the study on a web page and store the answers until Ctrl-C."""
    from stylegan_swap.evaluation.study.server import StudyServer

    with StudyServer(study, host, port) as server:
        typer.echo(f"{server.url}  (Ctrl-C stops; every answer is on the disk at once)")
        if not server.only_here:
            options.note("everyone who reaches this computer can take part; the connection is not encrypted")
        server.serve_forever()


@study_app.command()
def analyse(
    study: StudyFolder,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the files; the study's otherwise.")
    ] = None,
    bootstrap: Annotated[int, typer.Option(min=100, help="Resampled studies for the intervals.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
    least_checks: Annotated[
        float, typer.Option(min=0, max=1, help="Share of attention checks a rater must pass.")
    ] = 0.8,
    least_agreement: Annotated[
        float, typer.Option(min=0, max=1, help="Share of repeated questions to answer alike.")
    ] = 0.2,
    overwrite: options.Overwrite = False,
) -> None:
    """Strengths or mean opinions with intervals: a table, analysis.json and analysis.png."""
    from stylegan_swap.evaluation.study.analysis import analyse_study, table, write_analysis

    analysis = analyse_study(study, bootstrap, seed, least_checks, least_agreement)
    paths = write_analysis(output or study, analysis, overwrite)
    typer.echo(table(analysis))
    typer.echo("\n" + "\n".join(str(path) for path in paths))


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StyleganSwapError(f"{path}: is no readable text ({error}); save it as UTF-8") from error
