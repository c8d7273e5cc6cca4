import pytest

from medlabel.errors import MedlabelError
from medlabel.storage.folders import KINDS, refuse_other_kinds
from medlabel.storage.store import Store


@pytest.mark.parametrize("there", KINDS)
@pytest.mark.parametrize("mine", KINDS)
def test_a_folder_is_taken_by_its_own_kind_alone(tmp_path, there, mine):
    store = Store(str(tmp_path))
    refuse_other_kinds(store, mine)
    store.write_json(there, {})
    if there == mine:
        refuse_other_kinds(store, mine)
    else:
        with pytest.raises(MedlabelError, match=r"holds .*: choose another --out"):
            refuse_other_kinds(store, mine)
