"""Cuts the recogniser's ONNX graph at its attention layers.

What an attention layer computes, softmax(scale Q K^T) V, is left out; what stands before, between
and behind becomes a graph of its own. Stage i ends in queries, keys, values and the layer's input of
layer i, the last one in the logits; stage i + 1 takes the output of layer i, and whatever else it
needs from stages before it.
"""

import pathlib
from typing import NamedTuple

import onnx
import onnx.numpy_helper
import onnx.shape_inference


class UnknownGraph(Exception):
    """The graph does not look as expected; the text says where."""


class Attention(NamedTuple):
    """Names of one layer's tensors: q, k, v, out of shape [batch, heads, n, dim], x of shape
    [batch, n, heads * dim]; and the factor of q k^T."""
    q: str
    k: str
    v: str
    x: str
    out: str
    scale: float


class Stage(NamedTuple):
    nodes: list
    inputs: list  # names of what earlier stages, layers or the caller give
    goals: list


class Graph:
    def __init__(self, path):
        self.model = onnx.shape_inference.infer_shapes(onnx.load(str(path)))
        graph = self.model.graph
        self.producer = {name: node for node in graph.node for name in node.output}
        self.consumers = {}
        for node in graph.node:
            for name in node.input:
                self.consumers.setdefault(name, []).append(node)
        self.types = {info.name: info.type.tensor_type.elem_type
                      for info in [*graph.input, *graph.value_info, *graph.output]}
        self.initializers = {tensor.name: tensor for tensor in graph.initializer}

    def node_before(self, name, kind):
        """What makes a tensor, if that is a node of the kind, otherwise None."""
        node = self.producer.get(name)
        return node if node is not None and node.op_type == kind else None

    def number(self, name):
        """The value of a constant of one element."""
        node = self.node_before(name, "Constant")
        tensor = self.initializers.get(name) if node is None else node.attribute[0].t
        if tensor is None:
            raise UnknownGraph(f"{name}: no constant")
        return float(onnx.numpy_helper.to_array(tensor).reshape(()))

    def is_constant(self, name):
        return name in self.initializers or self.node_before(name, "Constant") is not None


def attention_of(graph, softmax):
    """The layer around a softmax over keys; None for another softmax."""
    scores = graph.node_before(softmax.input[0], "MatMul")
    if scores is None:
        return None
    scaled = graph.node_before(scores.input[0], "Mul")
    turned = graph.node_before(scores.input[1], "Transpose")
    mixes = graph.consumers.get(softmax.output[0], [])
    if scaled is None or turned is None or [node.op_type for node in mixes] != ["MatMul"]:
        return None
    before = graph.producer[scaled.input[0]]
    while before.op_type != "MatMul":
        before = graph.producer[before.input[0]]
    return Attention(q=scaled.input[0], k=turned.input[0], v=mixes[0].input[1], x=before.input[0],
                     out=mixes[0].output[0], scale=graph.number(scaled.input[1]))


def find_layers(graph):
    found = [attention_of(graph, node) for node in graph.model.graph.node
             if node.op_type == "Softmax"]
    layers = [layer for layer in found if layer]
    if not layers:
        raise UnknownGraph("no softmax(scale Q K^T) V in it")
    return layers


def stage_for(graph, goals, given):
    """What computes `goals` where the tensors `given` are there."""
    needed, inputs, pending = set(), [], list(goals)
    while pending:
        name = pending.pop()
        if name in given:
            if name not in inputs:
                inputs.append(name)
        elif name not in needed and name not in graph.initializers:
            needed.add(name)
            pending += [source for source in graph.producer[name].input if source]
    nodes = [node for node in graph.model.graph.node if needed & set(node.output)]
    return Stage(nodes, inputs, list(goals))


def stages_of(graph, layers, logits):
    """One stage up to each layer, and one from the last to the logits."""
    given = {info.name for info in graph.model.graph.input}
    stages = []
    for i, goals in enumerate([[layer.q, layer.k, layer.v, layer.x] for layer in layers] + [[logits]]):
        if i:
            given.add(layers[i - 1].out)
        stage = stage_for(graph, goals, given)
        made = {name for node in stage.nodes for name in node.output}
        given |= {name for name in made if not graph.is_constant(name)}
        stages.append(stage)
    return stages


def write_stage(graph, stage, outputs, path):
    def info(name):
        kind = graph.types.get(name, onnx.TensorProto.FLOAT)
        return onnx.helper.make_tensor_value_info(name, kind, None)

    used = {name for node in stage.nodes for name in node.input}
    part = onnx.helper.make_graph(
        stage.nodes, path.stem, [info(name) for name in stage.inputs],
        [info(name) for name in outputs],
        [tensor for name, tensor in graph.initializers.items() if name in used])
    model = onnx.helper.make_model(part, opset_imports=graph.model.opset_import)
    model.ir_version = graph.model.ir_version
    onnx.save(model, str(path))


def split(path, folder):
    """Writes stage0.onnx, stage1.onnx ... into the folder. Returns their paths, the layers, and the
    names of the logits and of the probabilities that the whole graph makes of them."""
    graph = Graph(path)
    layers = find_layers(graph)
    probabilities = graph.model.graph.output[0].name
    last = graph.node_before(probabilities, "Softmax")
    if last is None:
        raise UnknownGraph(f"{probabilities}: no softmax makes it")
    logits = last.input[0]
    stages = stages_of(graph, layers, logits)
    paths = []
    for i, stage in enumerate(stages):
        made = {name for node in stage.nodes for name in node.output}
        later = {name for other in stages[i + 1:] for name in other.inputs}
        carried = sorted(made & later - set(stage.goals))
        paths.append(pathlib.Path(folder, f"stage{i}.onnx"))
        write_stage(graph, stage, stage.goals + carried, paths[-1])
    return paths, layers, logits, probabilities
