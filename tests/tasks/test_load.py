import pytest

from jaxaimc.tasks import Task, load_task, registered_tasks


def test_load_task_from_the_current_directory(tmp_path, monkeypatch):
    (tmp_path / "some_user_net.py").write_text("from tiny_task import task\nnumber = 3\ndef wrong(data): return data\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert isinstance(load_task("some_user_net:task"), Task)
    with pytest.raises(ValueError, match=r"has no attribute 'tusk'; it has: number, task, wrong"):
        load_task("some_user_net:tusk")
    with pytest.raises(TypeError, match="names a int"):
        load_task("some_user_net:number")
    with pytest.raises(TypeError, match="returned a NoneType"):
        load_task("some_user_net:wrong")


def test_load_task_tells_a_missing_module_from_a_missing_dependency(tmp_path, monkeypatch):
    (tmp_path / "net_with_needs.py").write_text("import surely_not_installed\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="no module 'no_such_module'"):
        load_task("no_such_module:task")
    with pytest.raises(ModuleNotFoundError, match=r"no module 'jaxaimc\.no_such_part'"):
        load_task("jaxaimc.no_such_part:task")
    with pytest.raises(ModuleNotFoundError, match="'net_with_needs' needs 'surely_not_installed'"):
        load_task("net_with_needs:task")


@pytest.mark.parametrize("path", ["models.vit", "models.vit:", ":task", "models/vit.py:task", "a..b:c"])
def test_load_task_refuses_other_forms(path):
    with pytest.raises(ValueError, match=r"'package.module:factory'"):
        load_task(path)


def test_load_task_refuses_a_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="Argument `data` must be an existing folder"):
        load_task("tiny_task:task", tmp_path / "absent")


def test_tasks_that_packages_register_are_found_by_name(tmp_path, monkeypatch):
    """What an installed package leaves behind: a folder of metadata on the import path."""

    def install(package, target):
        metadata = tmp_path / package / f"{package}-1.0.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[jaxaimc.tasks]\nshapes = {target}\n")
        monkeypatch.syspath_prepend(str(tmp_path / package))

    install("one", "tiny_task:task")
    assert registered_tasks()["shapes"] == "tiny_task:task"
    assert load_task("shapes").name == load_task("tiny_task:task").name
    with pytest.raises(ValueError, match=r"but is 'shaps', which is no registered task either; these are: .*shapes"):
        load_task("shaps")
    install("two", "other_module:task")
    with pytest.raises(ValueError, match="Two packages register a task 'shapes'"):
        registered_tasks()
