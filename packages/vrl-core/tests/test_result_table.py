"""Tables of results."""

from rich.console import Console

from vrl_core.hooks import ReferenceReturns
from vrl_core.result_table import (
    cells,
    known_row,
    markdown_table,
    number,
    reference_rows,
    result_row,
    results_table,
)


def test_reference_rows_normalise_between_random_and_expert() -> None:
    rows = reference_rows(
        random=[10.0, 30.0],
        data=[620.0],
        learned=[420.0, 420.0],
        references=ReferenceReturns(random=20.0, expert=1020.0),
        runs=[0, 1],
    )
    assert [row.name for row in rows] == ["random policy", "data", "learned policy"]
    assert [row.normalised for row in rows] == [0.0, 60.0, 40.0]
    assert cells(rows)[3] == [
        *("learned policy", "420", "420–420", "420", "420–420", "2 (2 seeds)", "40.0%")
    ]


def test_a_mean_alone_has_no_interval() -> None:
    row = known_row("expert", 969.8, origin="reference", references=ReferenceReturns(0.0, 969.8))
    assert cells([row])[1] == ["expert", "970", "", "", "", "reference", "100.0%"]


def test_columns_that_no_row_fills_are_left_out() -> None:
    assert "success" not in cells([result_row("a", [1.0])])[0]
    header, with_success, without = cells(
        [result_row("a", [1.0], success=0.5), result_row("b", [2.0])]
    )
    assert header[-1] == "success"
    assert (with_success[-1], without[-1]) == ("50.0%", "")


def test_the_same_cells_stand_in_the_terminal_and_in_markdown() -> None:
    rows = [result_row("a policy", [1234.5, 1235.5])]
    lines = markdown_table(rows).splitlines()
    assert lines[0].startswith("|  | mean | 95% CI | IQM |")
    assert lines[2].startswith("| a policy | 1,235 |")
    console = Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(results_table(rows, "Results"))
    text = console.export_text()
    assert "1,235" in text
    assert "a policy" in text


def test_a_narrow_terminal_wraps_names_and_cuts_no_number() -> None:
    references = ReferenceReturns(random=0.0, expert=2000.0)
    name = "offline-dv2, model_run /home/someone/runs/cheetah_run/offline-dv2/model"
    row = result_row(name, [1234.5, 1835.5], runs=[0, 1], references=references)
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(results_table([row]))
    text = console.export_text()
    assert all(cell in text for cell in cells([row])[1][1:])
    assert "…" not in text


def test_numbers_are_written_to_a_useful_precision() -> None:
    assert [number(value) for value in (12345.6, 905.04, 1.234, 0.0, -3.21)] == [
        *("12,346", "905", "1.23", "0.00", "-3.21")
    ]
