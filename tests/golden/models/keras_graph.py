"""`keras_like` → the ONNX graph that a Keras export makes of such a network: NHWC at both ends, NCHW around the
convolutions, `same` padding as uneven pads, MatMul + Add for the dense layer."""

from onnx import TensorProto, helper, numpy_helper
from torch import nn

TO_NCHW, TO_NHWC = [0, 3, 1, 2], [0, 2, 3, 1]


def keras_graph(net, size, opset):
    nodes, weights = [], []

    def add(op, inputs, output, **attributes):
        nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def constant(name, value):
        weights.append(numpy_helper.from_array(value, name))
        return name

    low, high = (constant(f"relu6/{k}", numpy_helper.to_array(helper.make_tensor(k, 1, [], [v])))
                 for k, v in (("min", 0.0), ("max", 6.0)))
    x = add("Transpose", ["input"], "input/nchw", perm=TO_NCHW)
    pads, layer = [0, 0, 0, 0], 0
    for module in net:
        if isinstance(module, nn.ZeroPad2d):
            pads = [0, 0, 1, 1]
        elif isinstance(module, nn.Conv2d):
            layer += 1
            name = f"model/conv_{layer}"
            x = add("Conv", [x, constant(f"{name}/kernel", module.weight.detach().numpy()),
                             constant(f"{name}/bias", module.bias.detach().numpy())], f"{name}/Conv2D",
                    group=module.groups, kernel_shape=module.kernel_size, strides=module.stride,
                    pads=pads if module.padding == (0, 0) else [1, 1, 1, 1])
            pads = [0, 0, 0, 0]
        elif isinstance(module, nn.ReLU6) and layer % 2:
            x = add("Clip", [x, low, high], f"{name}/Relu6")
        elif isinstance(module, nn.ReLU6):
            x = add("Transpose", [x], f"{name}/nhwc", perm=TO_NHWC)
            x = map_nhwc = add("Clip", [x, low, high], f"{name}/Relu6")
            x = add("Transpose", [x], f"{name}/nchw", perm=TO_NCHW)
        elif isinstance(module, nn.Linear):
            x = add("ReduceMean", [map_nhwc], "model/mean", axes=[1, 2], keepdims=0)
            x = add("MatMul", [x, constant("model/dense/kernel", module.weight.detach().numpy().T.copy())],
                    "model/dense/MatMul")
            x = add("Add", [x, constant("model/dense/bias", module.bias.detach().numpy())], "model/dense/BiasAdd")
    add("Softmax", [x], "output", axis=1)
    nodes[:] = [n for n in nodes if n.output[0] != f"{name}/nchw"]
    graph = helper.make_graph(
        nodes, "keras-like", [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["unk__1", size, size, 3])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["unk__2", net[-1].out_features])], weights)
    return helper.make_model(graph, ir_version=7, opset_imports=[helper.make_opsetid("", opset)])
