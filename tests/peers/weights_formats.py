"""Checkpoints of three encoders in three formats, and files that must be refused. One JSON object in, one out.

models:    {"folder"} -> {case: {folder of a format: {tensor: {"shape", "sha256" of the float32 bytes}}}}; a case is a
           family and an element type, such as "bert-float16"; folders with "sharded" in their name hold shards
torch:     {"folder"} -> {file: the same}: what torch.save makes of views, tied tensors, protocols, checkpoints
refused:   {"folder"} -> {file: what the refusal must say}: forms of files that are not read
malicious: {"folder", "marker"} -> {file: the global it names}; that all but two make the marker file when Python unpickles
           them is tried here
"""

import hashlib
import io
import json
import os
import pickle
import sys
import zipfile
from argparse import Namespace
from collections import OrderedDict
from pathlib import Path


def describe(tensors):
    import torch

    described = {}
    for name, tensor in tensors.items():
        values = tensor.detach().to(torch.float32).contiguous()
        digest = hashlib.sha256(values.numpy().tobytes()).hexdigest()
        described[name] = {"shape": list(tensor.shape), "sha256": digest}
    return described


def random_models():
    import torch
    import transformers as t

    sizes = {"vocab_size": 37, "max_position_embeddings": 19}
    bert = {**sizes, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 20}
    distilbert = {**sizes, "dim": 8, "n_layers": 2, "n_heads": 2, "hidden_dim": 20}
    families = {
        "bert": lambda: t.BertForMaskedLM(t.BertConfig(**bert)),
        "roberta": lambda: t.RobertaForMaskedLM(t.RobertaConfig(**bert, type_vocab_size=1)),
        "distilbert": lambda: t.DistilBertForMaskedLM(t.DistilBertConfig(**distilbert)),
    }
    for family, make in families.items():
        for dtype in ("float32", "float16", "bfloat16"):
            torch.manual_seed(len(family))
            model = make().to(getattr(torch, dtype))
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.copy_(torch.randn(parameter.shape))
            yield f"{family}-{dtype}", model


def flax_entry(model, name, tensor):
    """Where transformers' Flax model keeps a tensor, and how: by the kind of module that it belongs to."""
    import torch

    parent, _, leaf = name.rpartition(".")
    module = model.get_submodule(parent)
    if leaf == "weight" and isinstance(module, torch.nn.Linear):
        return (*parent.split("."), "kernel"), tensor.T
    if leaf == "weight" and isinstance(module, torch.nn.Embedding):
        return (*parent.split("."), "embedding"), tensor
    if leaf == "weight" and isinstance(module, torch.nn.LayerNorm):
        return (*parent.split("."), "scale"), tensor
    return tuple(name.split(".")), tensor


def pack_array(tensor):
    """`flax.serialization._msgpack_ext_pack`, which needs JAX, in its own words."""
    import msgpack
    import torch

    dtype = str(tensor.dtype).removeprefix("torch.")
    raw = tensor.contiguous().view(torch.uint8) if tensor.dim() else tensor.reshape(1).view(torch.uint8)
    data = (tuple(tensor.shape), dtype, raw.numpy().tobytes())
    return msgpack.ExtType(1, msgpack.packb(data, use_bin_type=True))


def chunk(tensor, elements):
    """`flax.serialization._chunk` with smaller pieces than 1 GiB."""
    flat = tensor.contiguous().reshape(-1)
    pieces = flat.split(elements)
    return {
        "__msgpack_chunked_array__": True,
        "shape": {str(i): length for i, length in enumerate(tensor.shape)},
        "chunks": {str(i): pack_array(piece) for i, piece in enumerate(pieces)},
    }


def write_flax(path, entries):
    import msgpack

    tree = {}
    for keys, value in entries.items():
        node = tree
        for key in keys[:-1]:
            node = node.setdefault(key, {})
        node[keys[-1]] = chunk(value, 50) if value.numel() > 200 else pack_array(value)
    path.write_bytes(msgpack.packb(tree, strict_types=True))


def save_flax(folder, model, tensors, shards):
    entries = dict(flax_entry(model, name, tensor) for name, tensor in tensors.items())
    folder.mkdir(parents=True)
    if shards == 1:
        write_flax(folder / "flax_model.msgpack", entries)
        return
    keys = list(entries)
    weight_map = {}
    for shard in range(shards):
        name = f"flax_model-{shard + 1:05d}-of-{shards:05d}.msgpack"
        part = keys[shard * len(keys) // shards : (shard + 1) * len(keys) // shards]
        write_flax(folder / name, {key: entries[key] for key in part})
        weight_map |= {"/".join(key): name for key in part}
    index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
    (folder / "flax_model.msgpack.index.json").write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")


def models(folder):
    import torch
    from huggingface_hub import save_torch_state_dict
    from safetensors import safe_open

    cases = {}
    for case, model in random_models():
        base = Path(folder) / case
        model.save_pretrained(base / "safetensors")
        model.save_pretrained(base / "safetensors-sharded", max_shard_size="2KB")
        (base / "pytorch").mkdir()
        state = model.state_dict()
        torch.save(state, base / "pytorch" / "pytorch_model.bin")
        (base / "pytorch-sharded").mkdir()
        save_torch_state_dict(state, str(base / "pytorch-sharded"), safe_serialization=False, max_shard_size=2000)
        with safe_open(base / "safetensors" / "model.safetensors", framework="pt") as file:
            untied = {name: state[name] for name in file.keys()}
        save_flax(base / "flax", model, untied, 1)
        save_flax(base / "flax-sharded", model, untied, 3)
        index = json.loads((base / "pytorch-sharded" / "pytorch_model.bin.index.json").read_text())
        cases[case] = {
            "safetensors": describe(untied),
            "safetensors-sharded": describe(untied),
            "pytorch": describe(state),
            "pytorch-sharded": describe({name: state[name] for name in index["weight_map"]}),
            "flax": describe(untied),
            "flax-sharded": describe(untied),
        }
    return cases


def torch_files(folder):
    import torch
    from torch import nn

    torch.manual_seed(1)
    base = torch.randn(6, 5, 4)
    views = OrderedDict(
        whole=base,
        tied=base,
        turned=base.permute(2, 0, 1),
        sliced=base[1::2, 2:, ::3],
        column=base[:, 3, 1],
        expanded=base[0, 0].expand(3, 2, 4),
        narrowed=base.transpose(0, 1).narrow(1, 2, 3),
        unsqueezed=base[:, None, 0],
        scalar=base[2, 2, 2],
        empty=base[:0],
        parameter=nn.Parameter(base[0].t()),
        half=base.half()[2].t(),
        brain=base.bfloat16()[:, 1],
        double=base.double()[..., 2],
    )
    others = {"long": torch.arange(5).expand(1, -1), "bool": torch.tensor([True]), "small": torch.tensor(3, dtype=torch.uint16)}
    expected = {}

    def save(name, value, **options):
        torch.save(value, Path(folder) / name, **options)
        expected[name] = describe(views)

    for protocol in range(1, 6):
        save(f"protocol {protocol}.bin", OrderedDict({**views, **others}), pickle_protocol=protocol)
    save("dict.bin", dict(views))
    save("checkpoint.bin", {"epoch": 3, "lr": 1e-5, "model": views, "optimizer": {"state": {0: {"step": base}}}})
    torch.serialization.set_crc32_options(False)
    save("no checksums.bin", views)
    torch.serialization.set_crc32_options(True)
    with zipfile.ZipFile(Path(folder) / "dict.bin") as old, zipfile.ZipFile(Path(folder) / "packed again.bin", "w") as new:
        for info in old.infolist():
            with new.open(zipfile.ZipInfo(info.filename), "w", force_zip64=True) as out:
                out.write(old.read(info))
    expected["packed again.bin"] = describe(views)
    module = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.BatchNorm1d(4))
    torch.save(module.state_dict(), Path(folder) / "module.bin")
    floats = {name: value for name, value in module.state_dict().items() if value.is_floating_point()}
    expected["module.bin"] = describe(floats)
    return expected


def refused(folder):
    import torch
    from torch import nn

    folder = Path(folder)
    module = nn.Linear(2, 3)
    torch.save(module.state_dict(), folder / "legacy.bin", _use_new_zipfile_serialization=False)
    torch.save(module, folder / "module.bin")
    torch.save({"args": Namespace(lr=1), "model": module.state_dict()}, folder / "arguments.bin")
    torch.save({"path": Path("x"), "model": module.state_dict()}, folder / "path.bin")
    torch.jit.save(torch.jit.trace(module, torch.ones(1, 2)), folder / "script.bin")
    torch.save(module.state_dict(), folder / "sound.bin")
    with zipfile.ZipFile(folder / "sound.bin") as old:
        with zipfile.ZipFile(folder / "compressed.bin", "w", zipfile.ZIP_DEFLATED) as new:
            for info in old.infolist():
                new.writestr(info.filename, old.read(info))
        with zipfile.ZipFile(folder / "big.bin", "w") as new:
            for info in old.infolist():
                new.writestr(info.filename, b"big" if info.filename.endswith("byteorder") else old.read(info))
    (folder / "sound.bin").unlink()
    with zipfile.ZipFile(folder / "bomb.bin", "w", zipfile.ZIP_DEFLATED) as new:
        new.writestr("bomb/data.pkl", b"\0" * 2**28)
    return {
        "legacy.bin": "bare pickle, as PyTorch wrote before 1.6",
        "module.bin": '"torch.nn.modules.linear.Linear"',
        "arguments.bin": '"argparse.Namespace"',
        "path.bin": '"pathlib.',
        "script.bin": "TorchScript archive",
        "compressed.bin": "is compressed",
        "big.bin": 'byte order "big"',
        "bomb.bin": "is compressed",
    }


class Call:
    """Unpickled, it is what the call returns."""

    def __init__(self, function, *arguments):
        self.reduced = (function, arguments)

    def __reduce__(self):
        return self.reduced


def malicious(folder, marker):
    import builtins
    import subprocess

    command = f"touch '{marker}'"
    make = f"open({marker!r}, 'w').close()"
    quoted = command.encode()
    # Opcodes by hand: what pickle.dumps does not choose. The command is on the stack as text.
    text = pickle.BINUNICODE + len(quoted).to_bytes(4, "little") + quoted
    by_hand = {
        "GLOBAL": (b"cposix\nsystem\n" + text + b"\x85R.", "posix.system"),
        "STACK_GLOBAL": (b"\x80\x04\x8c\x05posix\x8c\x06system\x93" + text + b"\x85R.", "posix.system"),
        "INST": (b"(" + text + b"iposix\nsystem\n.", "posix.system"),
        "OBJ": (b"(cos\nsystem\n" + text + b"o.", "os.system"),
        "NEWOBJ": (b"\x80\x02csubprocess\nPopen\n((" + b"X\x05\0\0\0touchX" + len(marker).to_bytes(4, "little")
                   + marker.encode() + b"ltt\x81.", "subprocess.Popen"),
        "BUILD": (b"\x80\x02cbuiltins\nexec\nX" + len(make).to_bytes(4, "little") + make.encode() + b"\x85R}b.", "builtins.exec"),
        "memo": (b"\x80\x02cposix\nsystem\nq\x010h\x01" + text + b"\x85R.", "posix.system"),
        "behind a state dict": (b"\x80\x02ccollections\nOrderedDict\n)R0cposix\nsystem\n" + text + b"\x85R.", "posix.system"),
        "framed": (b"\x80\x04\x95" + (len(text) + 19).to_bytes(8, "little") + b"\x8c\x05posix\x8c\x06system\x93" + text
                   + b"\x85R.", "posix.system"),
        "getattr": (b"\x80\x02cbuiltins\ngetattr\ncos\npath\nX\x02\0\0\0os\x86R.", "builtins.getattr"),
    }
    calls = {
        "os.system": (Call(os.system, command), "posix.system"),
        "eval": (Call(eval, f"__import__('os').system({command!r})"), "builtins.eval"),
        "exec": (Call(exec, make), "builtins.exec"),
        "check_call": (Call(subprocess.check_call, command, -1, None, None, None, None, None, True, True), "subprocess.check_call"),
        "open": (Call(builtins.open, marker, "w"), "io.open"),
        "inside a list": ([1, {"a": (Call(os.system, command),)}], "posix.system"),
    }
    expected = {}
    scratch = Path(marker)
    for name, (code, refused) in by_hand.items():
        write_archive(folder, f"{name}.bin", code)
        expected[f"{name}.bin"] = refused
        if name not in ("getattr", "NEWOBJ"):  # a first step alone; no call of __init__
            prove(name, code, scratch)
    for name, (value, refused) in calls.items():
        for protocol in range(6):
            code = pickle.dumps(value, protocol)
            file = f"{name}, protocol {protocol}.bin"
            write_archive(folder, file, code)
            # Python 2 called its modules otherwise, and protocols 0 to 2 are for it as well.
            old = {
                "builtins.eval": "__builtin__.eval",
                "builtins.exec": "__builtin__.exec",
                "subprocess.check_call": "commands.check_call",
            }
            expected[file] = old.get(refused, refused) if protocol < 3 else refused
            prove(file, code, scratch)
    return expected


def write_archive(folder, name, code):
    with zipfile.ZipFile(Path(folder) / name, "w") as archive:
        archive.writestr("archive/data.pkl", code)


def prove(name, code, marker):
    """That the pickle does what it is said to do where it is run."""
    try:
        result = pickle.Unpickler(io.BytesIO(code)).load()
        if hasattr(result, "wait"):
            result.wait()
        if hasattr(result, "close"):
            result.close()
    except Exception:  # BUILD on None comes too late
        pass
    if not marker.exists():
        raise RuntimeError(f"{name} is harmless")
    marker.unlink()


request = json.load(sys.stdin)
stdout, sys.stdout = sys.stdout, sys.stderr  # transformers and the commands of pickles may print
commands = {"models": models, "torch": torch_files, "refused": refused, "malicious": malicious}
json.dump(commands[sys.argv[1]](**request), stdout)
