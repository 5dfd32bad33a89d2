"""A small Keras MobileNetV2 → FILE.npz for `make_models.py --keras`: the graph that tf2onnx makes of it, one input, and
TensorFlow's scores, activations and gradients. Needs requirements-keras.txt, in an environment of its own."""

import sys

import numpy as np
import tensorflow as tf
import tf2onnx

CLASSES, SIZE, ALPHA, OPSET = 10, 96, 0.25, 15
LAYERS = ["block_5_add", "out_relu"]


def images(count):
    coarse = tf.image.resize(tf.random.normal((count, 5, 5, 3)), (SIZE, SIZE))
    return tf.tanh(coarse + 0.3 * tf.random.normal((count, SIZE, SIZE, 3)))


def network():
    """Lively weights: batch norms know the images, scores lie around 0 and spread by 2."""
    net = tf.keras.applications.MobileNetV2((SIZE, SIZE, 3), alpha=ALPHA, weights=None, classes=CLASSES)
    norms = [layer for layer in net.layers if isinstance(layer, tf.keras.layers.BatchNormalization)]
    for norm in norms:
        norm.momentum = 0.0
        norm.gamma.assign_add(0.2 * tf.random.normal(norm.gamma.shape))
        norm.beta.assign_add(0.2 * tf.random.normal(norm.beta.shape))
    net(images(32), training=True)
    head = net.layers[-1]
    scores = scores_of(net)
    sample = images(32)
    head.kernel.assign(head.kernel * 2 / tf.reduce_mean(tf.math.reduce_std(scores(sample)[0], 0)))
    head.bias.assign(-tf.reduce_mean(scores(sample)[0], 0))
    return net


def scores_of(net):
    """The network cut before its softmax, with the layers to be explained."""
    head = net.layers[-1]
    whole = tf.keras.Model(net.input, [net.get_layer(name).output for name in LAYERS] + [head.input])

    def run(x):
        *layers, pooled = whole(x, training=False)
        return pooled @ head.kernel + head.bias, layers
    return run


def gradient_from(net, name, value, index):
    """d score[index] / d layer, through the part of the network after that layer."""
    with tf.GradientTape() as tape:
        tape.watch(value)
        rest = tf.keras.Model(net.get_layer(name).output, net.layers[-1].input)
        score = (rest(value, training=False) @ net.layers[-1].kernel + net.layers[-1].bias)[0, index]
    return tape.gradient(score, value).numpy()


def main(path):
    tf.keras.utils.set_random_seed(1)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    net = network()
    x = images(1)
    scores, layers = scores_of(net)(x)
    best = np.argsort(-scores[0])[:2]
    model, _ = tf2onnx.convert.from_keras(net, [tf.TensorSpec([None, SIZE, SIZE, 3], name="input")], opset=OPSET)
    values = {f"activation{i}": v.numpy() for i, v in enumerate(layers)}
    for i, (name, value) in enumerate(zip(LAYERS, layers)):
        for j, index in enumerate(best):
            values[f"gradient{i}{j}"] = gradient_from(net, name, value, index)
    np.savez(path, model=np.frombuffer(model.SerializeToString(), np.uint8), input=x.numpy(), scores=scores[0].numpy(),
             best=best, **values)


if __name__ == "__main__":
    main(sys.argv[1])
