"""How a user turns DAPG's pickles into plain arrays. Nothing here, nor in VRL, opens a pickle."""

from __future__ import annotations

from pathlib import Path

from vrl_core.errors import VRLError

PICKLES = (".pickle", ".pkl", ".p")

CONVERSION = """\
import io, pickle, sys
import numpy, torch


class Inert:  # stands for every class in the file: none of its code runs
    def __init__(self, *_):
        pass

    def __setstate__(self, state):
        self.__dict__.update(state if type(state) is dict else {})


def storage(data):
    return torch.load(io.BytesIO(data), weights_only=True)


SAFE = {
    ("collections", "OrderedDict"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}
SAFE |= {
    (f"numpy.{core}.multiarray", name)
    for core in ("core", "_core")
    for name in ("_reconstruct", "scalar")
}
SAFE |= {("torch._utils", f"_rebuild_{name}") for name in ("tensor", "tensor_v2", "parameter")}


class Reader(pickle.Unpickler):
    def find_class(self, module, name):
        if (module, name) == ("torch.storage", "_load_from_bytes"):
            return storage
        return super().find_class(module, name) if (module, name) in SAFE else Inert


def array(value):
    return value.detach().numpy() if torch.is_tensor(value) else numpy.asarray(value)


def layers(network):
    for part in network._modules.values():
        if part._parameters:
            yield part._parameters
        else:
            yield from layers(part)


with open(sys.argv[1], "rb") as file:
    found = Reader(file, encoding="latin1").load()
arrays = {}
if isinstance(found, list):  # demonstrations
    for n, demo in enumerate(found):
        for name in ("actions", "observations", "rewards"):
            arrays[f"{name}_{n:02}"] = array(demo[name])
        for name, value in demo["init_state_dict"].items():
            arrays[f"init_{name}_{n:02}"] = array(value)
else:  # a policy
    for n, layer in enumerate(layers(found.model)):
        arrays[f"weight_{n}"], arrays[f"bias_{n}"] = array(layer["weight"]), array(layer["bias"])
    for name in ("in_shift", "in_scale", "out_shift", "out_scale"):
        value = vars(found.model).get(name)
        arrays[name] = numpy.zeros(0) if value is None else array(value)
numpy.savez(sys.argv[2], **arrays)
"""
"""A script for `hand_dapg`'s policies and demonstrations: `python convert.py PICKLE NPZ`."""


def refuse_pickle(path: Path, wanted: str) -> VRLError:
    """Return the error for a pickle, with the lines that convert it to the file `wanted`."""
    return VRLError(
        f"{path} is a pickle, which can run any code and is never opened here. Convert it: save "
        f"the lines below as convert.py (they let none of its code run) and call\n\n"
        f"python convert.py {path} {wanted}\n\n{CONVERSION}"
    )
