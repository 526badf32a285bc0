"""Any Keras classifier, taken apart: the right layer, logits for probabilities, and the user's model untouched."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from core.errors import ModelError, UserError
from explain import METHODS, explain
from explain.registry import default_method
from models.from_keras import from_keras, split_model
from models.head import LinearHead, NetworkHead
from models.litert import LiteRTEngine
from models.preprocessing import WAYS
from models.randomised import randomised

SIZE = (32, 32, 3)


@pytest.fixture(autouse=True)
def _seed():
    keras.utils.set_random_seed(7)


class Eager:
    """Keras itself as the engine: converting costs a second each, and is tested elsewhere."""

    def __init__(self, network, canvas):
        self.network = network

    def forward(self, batch):
        return tuple(np.asarray(part) for part in self.network(batch, training=False))


def classify(model, labels=None, preprocess=None, **options):
    return from_keras(model, labels, preprocess=preprocess, engine=Eager, **options)


def pictures(count=3):
    return np.random.default_rng(2).uniform(0, 255, (count, *SIZE)).astype(np.float32)


def lively(model):
    """Weights and statistics as if trained, so that forgetting any of them shows."""
    draw = np.random.default_rng(5)
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            lively(layer)
        else:
            layer.set_weights([
                w + draw.uniform(0.0, 0.3, w.shape) if w.ndim == 1 else w for w in layer.get_weights()
            ])  # fmt: skip
    return model


def backbone(x, prefix=""):
    """Convolution, BatchNorm and ReLU, twice; the last is called `relu`."""
    x = layers.Rescaling(1 / 127.5, -1, name=prefix + "scale")(x)
    x = layers.Conv2D(6, 3, strides=2, name=prefix + "conv1")(x)
    x = layers.ReLU(name=prefix + "relu1")(layers.BatchNormalization(name=prefix + "bn1")(x))
    x = layers.Conv2D(8, 3, name=prefix + "conv2")(x)
    return layers.ReLU(name=prefix + "relu")(layers.BatchNormalization(name=prefix + "bn2")(x))


def gap_model(activation="softmax", units=4, name="gap"):
    pixels = keras.Input(SIZE)
    x = layers.Dropout(0.4)(layers.GlobalAveragePooling2D()(backbone(pixels)))
    return lively(keras.Model(pixels, layers.Dense(units, activation=activation, name="answer")(x), name=name))


def vgg_model(name="vgg"):
    """As VGG: a last pooling, then dense layers on the flattened map; its logits are a layer of their own."""
    pixels = keras.Input(SIZE)
    x = layers.Conv2D(6, 3, padding="same", activation="relu", name="conv1")(pixels / 255.0)
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="conv2")(layers.MaxPooling2D()(x))
    x = layers.Flatten()(layers.MaxPooling2D(name="pool")(x))
    logits = layers.Dense(5, name="logits")(layers.Dense(12, activation="relu")(x))
    return keras.Model(pixels, layers.Softmax()(logits), name=name)


def feature_layer(network):
    return network.outputs[0]._keras_history.operation.name


def answers(classifier, batch):
    return classifier.probabilities(classifier.forward(batch)[1])


# --- shapes of model


def sequential():
    return lively(
        keras.Sequential([
            keras.Input(SIZE), layers.Rescaling(1 / 255), layers.Conv2D(6, 3), layers.BatchNormalization(),
            layers.Activation("relu", name="relu"), layers.MaxPooling2D(), layers.GlobalAveragePooling2D(),
            layers.Dense(4, "softmax"),
        ])
    )  # fmt: skip


def functional_in_sequential():
    pixels = keras.Input(SIZE)
    inner = keras.Model(pixels, backbone(pixels), name="inner")
    return lively(
        keras.Sequential([keras.Input(SIZE), inner, layers.GlobalAveragePooling2D(), layers.Dense(4, "softmax")])
    )


def sequential_in_functional():
    pixels = keras.Input(SIZE)
    inner = keras.Sequential([
        keras.Input(SIZE), layers.Conv2D(6, 3), layers.BatchNormalization(), layers.ReLU(name="relu"),
    ])  # fmt: skip
    x = layers.GlobalMaxPooling2D()(inner(pixels / 255.0, training=False))
    return lively(keras.Model(pixels, layers.Dense(4, "softmax")(x)))


def doubly_nested():
    """A whole classifier, softmax and all, inside a model inside a model; every level uses the name `conv`."""
    level = keras.Input(SIZE)
    inner = keras.Model(level, layers.Conv2D(5, 3, activation="relu", name="conv")(level / 255.0), name="same")
    level = keras.Input(SIZE)
    x = layers.ReLU(name="relu")(layers.BatchNormalization()(layers.Conv2D(6, 3, name="conv")(inner(level))))
    tail = keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dense(4, "softmax", name="conv_")], name="same_")
    middle = keras.Model(level, tail(x), name="conv")
    return lively(keras.Sequential([keras.Input(SIZE), middle], name="outer"))


SHAPES = [gap_model, sequential, functional_in_sequential, sequential_in_functional, doubly_nested]


@pytest.mark.parametrize("build", SHAPES)
def test_nested_or_not_the_answers_are_the_models_own(build):
    model = build()
    classifier = classify(model)
    batch = pictures()
    assert np.allclose(answers(classifier, batch), np.asarray(model(batch)), atol=1e-5)
    assert feature_layer(classifier.engine.network) == "relu"
    assert classifier.activation == "softmax"
    features, logits = classifier.forward(batch)
    assert np.allclose(classifier.head.logits(features), logits, atol=1e-4)
    assert not np.allclose(logits.sum(1), 1)


def test_compiled_for_real():
    """Through LiteRT, as users get it."""
    model = functional_in_sequential()
    classifier = from_keras(model, ["a", "b", "c", "d"], name="mine")
    assert isinstance(classifier.engine, LiteRTEngine)
    assert repr(classifier) == "Classifier('mine', 4 classes)"
    batch = pictures(20)
    assert np.allclose(answers(classifier, batch), np.asarray(model(batch)), atol=1e-5)
    assert classifier.canvas == (32, 32)
    top = classifier.predict(np.full((90, 160, 3), 77, np.uint8))
    assert {prediction.label for prediction in top} == {"a", "b", "c", "d"}


def open_model(pixels=(None, None, 3)):
    pixels = keras.Input(pixels)
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, strides=8, activation="relu")(pixels / 255.0))
    return lively(keras.Model(pixels, layers.Dense(2, "softmax")(x)))


def test_the_canvas_of_an_open_input_follows_the_picture():
    model = open_model()
    classifier = classify(model)
    assert (classifier.canvas, classifier.fit, classifier.stride) == (None, "follow", 8)
    assert classifier.labels == ("class 0", "class 1")
    picture = np.random.default_rng(0).integers(0, 256, (120, 200, 3), dtype=np.uint8)
    laid = classifier.geometry((120, 200))
    assert laid.canvas[1] > 1.5 * laid.canvas[0]
    truth = np.asarray(model(laid.place(picture)[None]))
    assert np.allclose(answers(classifier, laid.place(picture)[None]), truth, atol=1e-5)
    assert classifier.geometry((120, 200), side=448).canvas[0] > 300
    assert classify(model, side=96).geometry((50, 50)).canvas == (96, 96)


def test_a_fit_fixes_the_canvas_of_an_open_input():
    classifier = classify(open_model(), fit="letterbox")
    assert (classifier.canvas, classifier.fit) == ((224, 224), "letterbox")
    assert classifier.geometry((112, 224)).box == (56, 0, 112, 224)
    assert classify(open_model(), fit="squash", side=320).canvas == (320, 320)


def test_litert_serves_every_canvas_of_an_open_input():
    model = open_model()
    classifier = from_keras(model)
    assert isinstance(classifier.engine, LiteRTEngine)
    for shape in ((64, 64), (96, 160), (224, 224)):
        batch = np.random.default_rng(1).uniform(0, 255, (2, *shape, 3)).astype(np.float32)
        assert np.allclose(answers(classifier, batch), np.asarray(model(batch)), atol=1e-5)
        assert classifier.gradient(batch, np.array([1, 0], np.float32)).shape == batch.shape


@pytest.mark.parametrize(
    ("fit", "box", "crop"),
    [(None, (0, 0, 32, 32), None), ("crop", (0, 0, 32, 32), (0, 8, 16, 16)), ("letterbox", (8, 0, 16, 32), None)],
)
def test_fixed_canvases_are_filled_as_the_user_says(fit, box, crop):
    laid = classify(gap_model(), fit=fit).geometry((16, 32))
    assert (laid.box, laid.crop) == (box, crop)


def test_a_fit_that_cannot_be():
    with pytest.raises(ModelError, match="32x32 only; choose the fit squash, crop, letterbox"):
        classify(gap_model(), fit="follow")
    with pytest.raises(UserError, match="did you mean 'crop'"):
        classify(gap_model(), fit="crap")
    with pytest.raises(UserError, match="did you mean 'squash'"):
        classify(open_model(), fit="squish")


# --- final activations
# --- final activations


def activation_layer(kind):
    def build():
        pixels = keras.Input(SIZE)
        x = layers.Dense(4)(layers.GlobalAveragePooling2D()(backbone(pixels)))
        return lively(keras.Model(pixels, kind(x)))

    return build


FINAL = {
    "softmax": (gap_model, "softmax"),
    "softmax function of keras.ops": (lambda: gap_model(ops.softmax), "softmax"),
    "softmax function of TensorFlow": (lambda: gap_model(tf.nn.softmax), "softmax"),
    "softmax layer as activation": (lambda: gap_model(layers.Softmax()), "softmax"),
    "Activation('softmax')": (activation_layer(layers.Activation("softmax")), "softmax"),
    "layers.Softmax": (activation_layer(layers.Softmax()), "softmax"),
    "keras.ops.softmax": (activation_layer(ops.softmax), "softmax"),
    "keras.activations.softmax": (activation_layer(keras.activations.softmax), "softmax"),
    "linear": (lambda: gap_model(None), "softmax"),
    "log_softmax": (lambda: gap_model("log_softmax"), "softmax"),
    "sigmoid": (lambda: gap_model("sigmoid"), "sigmoid"),
    "Activation('sigmoid')": (activation_layer(layers.Activation("sigmoid")), "sigmoid"),
    "keras.ops.sigmoid": (activation_layer(ops.sigmoid), "sigmoid"),
}


@pytest.mark.parametrize("kind", FINAL)
def test_final_activation_is_taken_off(kind):
    build, activation = FINAL[kind]
    model = build()
    classifier = classify(model)
    batch = pictures()
    truth = np.asarray(model(batch))
    if kind == "linear":
        truth = np.asarray(ops.softmax(truth))
    if kind == "log_softmax":
        truth = np.exp(truth)
    assert classifier.activation == activation
    assert np.allclose(answers(classifier, batch), truth, atol=1e-5)
    # Logits, not something bounded: the closed form holds and is what the dense layer gives before its activation.
    dense = next(layer for layer in model.layers if isinstance(layer, layers.Dense))
    assert isinstance(classifier.head, LinearHead)
    assert np.array_equal(classifier.head.weights, np.float32(dense.get_weights()[0]))
    features, logits = classifier.forward(batch)
    assert np.allclose(features.mean((1, 2)) @ dense.get_weights()[0] + dense.get_weights()[1], logits, atol=1e-4)


@pytest.mark.parametrize("activation", ["sigmoid", None])
def test_one_unit_becomes_two_classes(activation):
    model = gap_model(activation, units=1)
    classifier = classify(model, ["cat", "dog"])
    batch = pictures()
    dog = np.asarray(model(batch))[:, 0]
    dog = dog if activation else 1 / (1 + np.exp(-dog))
    assert np.allclose(answers(classifier, batch), np.stack([1 - dog, dog], 1), atol=1e-5)
    assert classifier.activation == "softmax"
    assert isinstance(classifier.head, LinearHead)  # so a class activation map is possible here, too
    gradient = classifier.head.gradient(classifier.forward(batch)[0], np.array([-1.0, 1.0]))
    kernel = model.get_layer("answer").get_weights()[0][:, 0]
    cells = gradient.shape[1] * gradient.shape[2]
    assert np.allclose(gradient[0, 0, 0] * cells, kernel, atol=1e-6)  # dog rather than cat is the unit's own logit


def test_mixed_precision_is_explained_in_full():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = gap_model()
    finally:
        keras.config.set_dtype_policy("float32")
    classifier = classify(model)
    batch = pictures()
    assert all(part.dtype == np.float32 for part in classifier.forward(batch))
    assert np.allclose(answers(classifier, batch), np.asarray(model(batch), np.float32), atol=5e-3)


# --- which layer, and what lies behind it


def test_the_map_before_the_last_pooling():
    network, head, _ = split_model(vgg_model())
    assert feature_layer(network) == "conv2"
    assert network.output_shape[0] == (None, 16, 16, 8)
    assert isinstance(head, NetworkHead)


def test_pooling_and_dropout_as_bare_operations():
    pixels = keras.Input(SIZE)
    x = layers.SpatialDropout2D(0.2)(layers.Conv2D(5, 3, activation="relu", name="last")(pixels))
    x = ops.average_pool(ops.max_pool(x, 2), 3)
    network, _, _ = split_model(keras.Model(pixels, layers.Dense(3)(layers.Flatten()(x))))
    assert feature_layer(network) == "last"


def test_a_skip_connection_around_the_last_activation_is_not_overlooked():
    """Not all of the output depends on `late`; it does on the sum, or on what came before."""

    def build(join):
        pixels = keras.Input(SIZE)
        early = layers.Conv2D(6, 3, padding="same", activation="relu", name="early")(pixels / 255.0)
        late = layers.Conv2D(6, 3, padding="same", activation="relu", name="late")(early)
        return lively(keras.Model(pixels, layers.Dense(4, "softmax")(join(early, late))))

    added = build(lambda a, b: layers.GlobalAveragePooling2D()(layers.Add(name="sum")([a, b])))
    pool = layers.GlobalAveragePooling2D
    apart = build(lambda a, b: layers.Concatenate()([pool()(a), pool()(b)]))
    bare = build(lambda a, b: pool()(a * 0.5 + b))
    for model, expected in ((added, "sum"), (apart, "early"), (bare, "add")):
        classifier = classify(model)
        assert feature_layer(classifier.engine.network).startswith(expected)
        batch = pictures()
        assert np.allclose(answers(classifier, batch), np.asarray(model(batch)), atol=1e-5)
        assert np.allclose(
            classifier.head.logits(classifier.forward(batch)[0]), classifier.forward(batch)[1], atol=1e-4
        )


def test_squeeze_and_excitation():
    """A map scaled by what it says itself: the product is the last activation."""
    pixels = keras.Input(SIZE)
    x = layers.Conv2D(6, 3, activation="relu", name="conv")(pixels / 255.0)
    gate = layers.Dense(6, "sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    x = layers.Multiply(name="scaled")([x, gate])
    network, head, _ = split_model(keras.Model(pixels, layers.Dense(3)(layers.GlobalAveragePooling2D()(x))))
    assert feature_layer(network) == "scaled"
    assert isinstance(head, LinearHead)


def test_a_layer_called_twice_is_one_layer():
    pixels = keras.Input(SIZE)
    shared = layers.Conv2D(6, 3, padding="same", activation="relu", name="shared")
    first = shared(layers.Conv2D(6, 3, padding="same", name="before")(pixels / 255.0))
    model = lively(keras.Model(pixels, layers.Dense(4, "softmax")(layers.GlobalAveragePooling2D()(shared(first)))))
    classifier = classify(model)
    network = classifier.engine.network
    assert sum(isinstance(layer, layers.Conv2D) for layer in network.layers) == 2
    batch = pictures()
    assert np.allclose(answers(classifier, batch), np.asarray(model(batch)), atol=1e-5)
    features = classifier.forward(batch)[0]
    assert np.allclose(classifier.head.logits(features), classifier.forward(batch)[1], atol=1e-4)  # of the second call


def test_a_nested_model_called_twice():
    part = keras.Sequential([keras.Input((32, 32, 3)), layers.Conv2D(3, 3, padding="same", activation="relu")])
    pixels = keras.Input(SIZE)
    x = layers.GlobalAveragePooling2D()(part(part(pixels / 255.0)))
    model = lively(keras.Model(pixels, layers.Dense(4, "softmax")(x)))
    batch = pictures()
    assert np.allclose(answers(classify(model), batch), np.asarray(model(batch)), atol=1e-5)


def linear(*behind):
    pixels = keras.Input(SIZE)
    x = backbone(pixels)
    for layer in behind:
        x = layer(x)
    return split_model(lively(keras.Model(pixels, x)))[1]


def test_where_the_head_has_a_closed_form():
    pool, dense = layers.GlobalAveragePooling2D, layers.Dense
    assert isinstance(linear(pool(), layers.Dropout(0.5), dense(4, use_bias=False)), LinearHead)
    assert isinstance(linear(pool(keepdims=True), layers.Flatten(), dense(4)), LinearHead)
    assert isinstance(linear(pool(), dense(7), dense(4, "softmax")), LinearHead)
    assert isinstance(linear(pool()), LinearHead)  # a network in network: the last convolution has a map for each class
    assert isinstance(linear(pool(), dense(7, "relu"), dense(4)), NetworkHead)
    assert isinstance(linear(layers.GlobalMaxPooling2D(), dense(4)), NetworkHead)
    assert isinstance(linear(pool(), layers.BatchNormalization(), dense(4)), NetworkHead)
    shared = dense(8)
    assert isinstance(linear(pool(), shared, shared), NetworkHead)  # no chain: the same layer twice


def test_a_closed_form_is_the_networks_own():
    model = gap_model()
    head = split_model(model)[1]
    features = np.random.default_rng(0).uniform(0, 3, (2, 13, 13, 8)).astype(np.float32)
    x = ops.convert_to_tensor(features)
    dense = model.get_layer("answer")
    with tf.GradientTape() as tape:
        tape.watch(x)
        score = ops.sum((ops.mean(x, (1, 2)) @ dense.kernel)[:, 2])
    target = np.array([0.0, 0.0, 1.0, 0.0])
    assert np.allclose(head.gradient(features, target), tape.gradient(score, x), atol=1e-6)


# --- gradients


def test_gradients_are_those_of_the_original():
    model = vgg_model()
    classifier = classify(model)
    batch = pictures()
    target = np.array([0, 1, 0, -1, 0.5])
    parts = keras.Model(model.input, [model.get_layer("conv2").output, model.get_layer("logits").output])
    behind = keras.Model(model.get_layer("conv2").output, model.get_layer("logits").output)

    pixels = tf.constant(batch)
    with tf.GradientTape() as tape:
        tape.watch(pixels)
        score = tf.linalg.matvec(parts(pixels)[1], tf.constant(target, tf.float32))
    assert np.allclose(classifier.gradient(batch, target), tape.gradient(score, pixels), atol=1e-7)

    features = tf.constant(np.asarray(parts(batch)[0]))
    with tf.GradientTape() as tape:
        tape.watch(features)
        score = tf.linalg.matvec(behind(features), tf.constant(target, tf.float32))
    truth = np.asarray(tape.gradient(score, features))
    assert np.abs(truth).max() > 1e-3
    assert np.allclose(classifier.forward(batch)[0], features, atol=1e-5)
    assert np.allclose(classifier.head.gradient(features.numpy(), target), truth, atol=1e-6)
    assert np.allclose(classifier.head.logits(features.numpy()), behind(features), atol=1e-5)


def test_gradient_is_of_the_logit_not_of_the_probability():
    """Where a probability is one, its gradient is nothing; the logit's is not."""
    model = gap_model()
    model.get_layer("answer").bias.assign([60.0, 0, 0, 0])
    classifier = classify(model)
    batch = pictures(1)
    assert answers(classifier, batch)[0, 0] == 1
    assert np.abs(classifier.gradient(batch, np.array([1.0, 0, 0, 0]))).max() > 1e-5


# --- preprocessing and layers with a mind of their own


def test_preprocess_is_applied_once():
    model = gap_model()
    batch = pictures()
    classifier = classify(model, preprocess=lambda x: x[..., ::-1] - 100.0)
    truth = np.asarray(model(batch[..., ::-1] - 100.0))
    assert np.allclose(answers(classifier, batch), truth, atol=1e-5)
    assert not np.allclose(truth, np.asarray(model(batch)), atol=1e-2)
    gradient = classifier.gradient(batch[:1], np.array([1.0, 0, 0, 0]))
    plain = classify(model).gradient(batch[:1, ..., ::-1] - 100.0, np.array([1.0, 0, 0, 0]))
    assert np.allclose(gradient[..., ::-1], plain, atol=1e-7)


def test_preprocess_of_keras_applications_leaves_pictures_alone():
    """On NumPy arrays that function works in place."""
    batch = pictures()
    kept = batch.copy()
    classifier = classify(gap_model(), preprocess=keras.applications.resnet.preprocess_input)
    classifier.forward(batch)
    assert np.array_equal(batch, kept)


def test_adapted_normalisation():
    normalise = layers.Normalization()
    normalise.adapt(pictures(8))
    pixels = keras.Input(SIZE)
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(5, 3, activation="relu")(normalise(pixels)))
    model = keras.Model(pixels, layers.Dense(3, "softmax")(x))
    batch = pictures()
    assert np.allclose(answers(classify(model), batch), np.asarray(model(batch)), atol=1e-5)


def test_lambdas_augmentation_and_functions_of_ones_own():
    shift = 3.0
    pixels = keras.Input(SIZE)
    x = layers.RandomFlip()(layers.Lambda(lambda x: (x + shift) / 255.0, name="mine")(pixels))
    x = layers.Conv2D(5, 3, activation=lambda x: ops.relu(x) * 2, name="conv")(x)
    x = layers.Conv2D(5, 3, activation=tf.nn.relu6, name="conv2")(x)
    model = keras.Model(pixels, layers.Dense(3, "softmax")(layers.GlobalAveragePooling2D()(x)))
    classifier = classify(model)
    batch = pictures()
    assert np.allclose(answers(classifier, batch), np.asarray(model(batch, training=False)), atol=1e-5)
    assert feature_layer(classifier.engine.network) == "conv2"


def test_a_model_that_takes_uint8():
    pixels = keras.Input(SIZE, dtype="uint8")
    x = layers.Conv2D(5, 3, activation="relu")(ops.cast(pixels, "float32") / 255.0)
    model = keras.Model(pixels, layers.Dense(3, "softmax")(layers.GlobalAveragePooling2D()(x)))
    batch = np.round(pictures())
    assert np.allclose(answers(classify(model), batch), np.asarray(model(batch.astype(np.uint8))), atol=1e-5)


# --- the user's model stays as it was


def state(model):
    """All that calling or copying a model could change."""

    def operations(part):
        found = []
        for operation in part.operations if hasattr(part, "operations") else part.layers:
            found.append(operation)
            if isinstance(operation, keras.Model):
                found += operations(operation)
        return found

    every = operations(model)
    return {
        "config": model.to_json(),
        "nodes": [(len(o._inbound_nodes), len(o._outbound_nodes)) for o in every],
        "names": [o.name for o in every],
        "activations": [getattr(o, "activation", None) for o in every],
        "outputs": [id(o.output) for o in every if not isinstance(o, keras.Model)],
        "trainable": [o.trainable for o in every if isinstance(o, layers.Layer)],
        "losses": len(model.losses),
    }


def compiled():
    pixels = keras.Input(SIZE)
    x = backbone(pixels / 2.0)
    x = ops.tanh(x + ops.mean(x, axis=-1, keepdims=True))
    x = layers.Dense(4, kernel_regularizer="l2", name="answer")(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(pixels, ops.softmax(x))
    model.get_layer("conv1").trainable = False
    model.compile("sgd", loss=lambda truth, found: ops.mean((truth - found) ** 2))
    return model


@pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`")
@pytest.mark.parametrize("build", [*SHAPES, vgg_model, compiled])
def test_the_users_model_is_untouched(build):
    model = build()
    batch = pictures()
    before, weights, truth = state(model), model.get_weights(), np.asarray(model(batch))
    classifier = classify(model)
    classifier.gradient(batch, np.eye(len(classifier.labels))[0])
    assert state(model) == before
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), weights, strict=True))
    assert np.array_equal(np.asarray(model(batch)), truth)


def test_training_goes_on_and_does_not_reach_the_classifier():
    model = compiled()
    classifier = classify(model)
    batch = pictures(4)
    before = classifier.forward(batch)[1]
    first = model.evaluate(batch, np.eye(4), verbose=0)
    model.fit(batch, np.eye(4), epochs=3, verbose=0)
    assert model.evaluate(batch, np.eye(4), verbose=0) < first
    assert np.array_equal(classifier.forward(batch)[1], before)
    assert not np.allclose(answers(classify(model), batch), answers(classifier, batch), atol=1e-6)


def test_the_users_model_is_untouched_by_a_layer_called_as_it_is_and_after_a_refusal():
    class Stubborn(layers.Layer):
        def __init__(self, table):
            super().__init__()
            self.table = table

        def call(self, x):
            return x * self.table[0]

    pixels = keras.Input(SIZE)
    x = Stubborn({0: 2.0})(backbone(pixels / 255.0) + 1.0)
    model = keras.Model(pixels, layers.Dense(4, "softmax")(layers.GlobalAveragePooling2D()(x)))
    counts = [(len(o._inbound_nodes), len(o._outbound_nodes)) for o in model.operations]
    weights, truth = model.get_weights(), np.asarray(model(pictures()))
    np.testing.assert_allclose(answers(classify(model), pictures()), truth, atol=1e-6)  # called as it is
    with pytest.raises(ModelError, match="leave out activation"):
        classify(model, activation="sigmoid")
    assert [(len(o._inbound_nodes), len(o._outbound_nodes)) for o in model.operations] == counts
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), weights, strict=True))
    assert np.array_equal(np.asarray(model(pictures())), truth)
    assert model.layers[-1].activation is keras.activations.softmax


# --- refused


def refusal(model, **options):
    with pytest.raises(ModelError) as caught:
        classify(model, **options)
    text = str(caught.value)
    assert isinstance(caught.value, UserError)
    assert text.endswith(".")
    assert "\n" not in text
    return text


def test_not_a_keras_model():
    assert "A Keras model is needed" in refusal("model.keras")
    assert "not NoneType" in refusal(None)


class Subclassed(keras.Model):
    """As people write them: layers in the constructor, a method `call`, no input shape."""

    def __init__(self, flat=False, function=None):
        super().__init__(name="mine")
        self.conv = layers.Conv2D(6, 3, activation="relu", strides=2)
        self.join = layers.Flatten() if flat else layers.GlobalAveragePooling2D()
        self.answer = layers.Dense(3, activation="softmax")
        self.function = function or ops.square

    def call(self, x, training=False):
        return self.answer(self.join(self.function(self.conv(x / 255.0))))


def nodes(model):
    return [len(layer._inbound_nodes) + len(layer._outbound_nodes) for layer in model._flatten_layers()]


def test_subclassed():
    model = Subclassed()
    assert "'mine' has no input shape yet; call it once" in refusal(model)
    truth = np.asarray(model(pictures()))
    before = nodes(model)
    classifier = classify(model)
    assert nodes(model) == before
    np.testing.assert_allclose(answers(classifier, pictures()), truth, atol=1e-6)
    assert isinstance(classifier.head, LinearHead)
    pixels = keras.Input(SIZE)
    nested = keras.Sequential([pixels, layers.Rescaling(0.5), model, layers.Dense(4)])
    np.testing.assert_allclose(classify(nested).forward(pictures())[1], np.asarray(nested(pictures())), atol=1e-5)


def test_subclassed_with_functions_of_tensorflow():
    """`call` does not work on symbolic tensors, so the model is called as it is: without a map, but with gradients."""

    @tf.custom_gradient
    def guided(x):
        return tf.nn.relu(x), lambda upstream: tf.where(x > 0, tf.nn.relu(upstream), 0.0)

    model = Subclassed(function=lambda x: tf.math.log(tf.constant(1.0) + tf.raw_ops.Relu(features=x)))
    by_hand = Subclassed(function=lambda x: tf.math.log(tf.constant(1.0) + guided(x)))
    truth = np.asarray(model(pictures()))
    by_hand(pictures())
    by_hand.set_weights(model.get_weights())
    classifier = classify(model)
    np.testing.assert_allclose(answers(classifier, pictures()), truth, atol=1e-6)
    assert classifier.capabilities == {"gradient", "guided"}
    batch, objective = tf.constant(pictures(1)), np.float32([0, 1, 0])
    for network, gradient in ((model, classifier.gradient), (by_hand, classifier.guided_gradient)):
        with tf.GradientTape() as tape:
            tape.watch(batch)
            score = tf.math.log(network(batch)[0, 1])
        expected = np.asarray(tape.gradient(score, batch))
        np.testing.assert_allclose(gradient(pictures(1), objective), expected, rtol=1e-3, atol=1e-7)


def test_a_layer_without_its_configuration_is_called_as_it_is():
    class Own(layers.Layer):
        def __init__(self, filters):
            super().__init__(name="own")
            self.conv = layers.Conv2D(filters, 3, activation="relu")

        def call(self, x):
            return self.conv(x)

    pixels = keras.Input(SIZE)
    x = layers.GlobalAveragePooling2D()(Own(8)(pixels / 255.0))
    model = keras.Model(pixels, layers.Dense(3, "softmax")(x))
    classifier = classify(model)
    np.testing.assert_allclose(answers(classifier, pictures()), np.asarray(model(pictures())), atol=1e-6)
    assert isinstance(classifier.head, LinearHead)
    before = model.get_weights()
    with randomised(classifier).randomise_down_to(1) as copy:
        assert not np.allclose(answers(copy, pictures()), answers(classifier, pictures()), atol=1e-3)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_unbuilt_sequential():
    assert "no input shape yet" in refusal(keras.Sequential([layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(3)]))


def test_two_inputs():
    a, b = keras.Input(SIZE), keras.Input(SIZE)
    x = layers.Dense(3)(layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(a + b)))
    assert "has 2 inputs" in refusal(keras.Model([a, b], x))


@pytest.mark.parametrize("form", ["input", "list", "dict", "nested"])
def test_ends_in_a_list_or_a_dict_of_one(form):
    model = gap_model()
    pixels, output = model.inputs[0], model.outputs[0]
    if form == "nested":
        listed, again = keras.Model(pixels, [output]), keras.Input(SIZE)
        model = keras.Sequential([again, listed])
    else:
        model = {
            "input": lambda: keras.Model([pixels], output),
            "list": lambda: keras.Model([pixels], [output]),
            "dict": lambda: keras.Model(pixels, {"probs": output}),
        }[form]()
    np.testing.assert_allclose(answers(classify(model), pictures()), np.asarray(gap_truth()), atol=1e-6)


def gap_truth():
    keras.utils.set_random_seed(7)
    return gap_model()(pictures(), training=False)


def test_one_of_several_outputs_is_chosen():
    pixels = keras.Input(SIZE)
    x = layers.GlobalAveragePooling2D()(backbone(pixels))
    ends = {"box": layers.Dense(4, name="b")(x), "kind": layers.Dense(3, activation="softmax", name="k")(x)}
    model = keras.Model(pixels, ends)
    text = refusal(model)
    assert "has 2 outputs (box, kind); choose one, such as output='box'" in text
    truth = np.asarray(model(pictures())["kind"])
    for output in ("kind", 1, "1"):
        np.testing.assert_allclose(answers(classify(model, output=output), pictures()), truth, atol=1e-6)
    with pytest.raises(UserError, match=r"no output 'king'.*kind"):
        classify(model, output="king")
    with pytest.raises(UserError, match="no output '2'"):
        classify(model, output=2)


# --- what the outputs mean


@pytest.mark.parametrize(
    ("loss", "activation"),
    [
        (keras.losses.BinaryCrossentropy(from_logits=True), "sigmoid"), ("binary_focal_crossentropy", "sigmoid"),
        (keras.losses.SparseCategoricalCrossentropy(from_logits=True), "softmax"), (None, "softmax"),
    ],
)  # fmt: skip
def test_the_loss_decides_softmax_or_sigmoid(loss, activation):
    model = gap_model(None)
    if loss is not None:
        model.compile("adam", loss)
    classifier = classify(model)
    assert classifier.activation == activation
    logits = np.asarray(model(pictures()))
    function = keras.ops.sigmoid if activation == "sigmoid" else keras.ops.softmax
    np.testing.assert_allclose(answers(classifier, pictures()), np.asarray(function(logits)), atol=1e-6)


def test_the_user_decides_softmax_or_sigmoid():
    assert classify(gap_model(None), activation="sigmoid").activation == "sigmoid"
    assert "ends with softmax; leave out" in refusal(gap_model("softmax"), activation="sigmoid")
    with pytest.raises(UserError, match="no activation 'tanh'"):
        classify(gap_model(None), activation="tanh")


@pytest.mark.parametrize(
    ("activation", "units", "loss", "reason"),
    [
        ("softmax", 1, None, "softmax of one unit, which is always 1"),
        ("tanh", 1, None, "ends with tanh"),
        (None, 1, "mse", "was trained as a regression"),
        (None, 1, keras.losses.Huber(), "was trained as a regression"),
        (None, 8, "cosine_similarity", "was trained as an embedding"),
    ],
)
@pytest.mark.filterwarnings("ignore:You are using a softmax over axis -1")
def test_no_classifier(activation, units, loss, reason):
    model = gap_model(activation, units)
    if loss:
        model.compile("adam", loss)
    assert reason in refusal(model)


def test_an_embedding():
    pixels = keras.Input(SIZE)
    x = layers.Dense(64)(layers.GlobalAveragePooling2D()(backbone(pixels)))
    assert "gives an embedding: 64 numbers" in refusal(keras.Model(pixels, layers.UnitNormalization()(x)))


def mean_of_two():
    pixels = keras.Input(SIZE)
    return keras.Model(pixels, layers.Average()([gap_model(name="a")(pixels), gap_model(name="b")(pixels)]))


def with_temperature():
    pixels = keras.Input(SIZE)
    x = layers.Dense(3)(layers.GlobalAveragePooling2D()(backbone(pixels)))
    return keras.Model(pixels, layers.Lambda(lambda z: ops.softmax(z / 2))(x))


def a_namesake_of_softmax():
    class Softmax(layers.Layer):
        def call(self, x):
            return ops.softmax(x * 5.0)

    pixels = keras.Input(SIZE)
    return keras.Model(pixels, Softmax()(layers.Dense(4)(layers.GlobalAveragePooling2D()(backbone(pixels)))))


def shares():
    class Share(layers.Layer):
        def call(self, x):
            return x / ops.sum(x, -1, keepdims=True)

    pixels = keras.Input(SIZE)
    return keras.Model(pixels, Share()(layers.Dense(4, "softplus")(layers.GlobalAveragePooling2D()(backbone(pixels)))))


@pytest.mark.parametrize("build", [mean_of_two, with_temperature, a_namesake_of_softmax, shares])
def test_probabilities_made_in_an_unknown_way(build):
    """Their logarithms are logits whose softmax gives the probabilities again."""
    model = build()
    classifier = classify(model)
    truth = np.asarray(model(pictures()))
    np.testing.assert_allclose(answers(classifier, pictures()), truth, atol=1e-6)
    np.testing.assert_allclose(classifier.forward(pictures())[1], np.log(truth), rtol=1e-4, atol=1e-5)
    assert any("logarithm of the probability" in note for note in classifier.notes)


def test_independent_probabilities_made_in_an_unknown_way():
    pixels = keras.Input(SIZE)
    parts = [gap_model("sigmoid", name=name)(pixels) for name in "ab"]
    model = keras.Model(pixels, layers.Average()(parts))
    classifier = classify(model)
    assert classifier.activation == "sigmoid"
    np.testing.assert_allclose(answers(classifier, pictures()), np.asarray(model(pictures())), atol=1e-6)


# --- other inputs


@pytest.mark.parametrize(
    ("shape", "adapt", "facts"),
    [
        ((32, 32, 1), lambda x: x @ [[0.299], [0.587], [0.114]], "grey"),
        ((32, 32, 4), lambda x: np.concatenate([x, np.full_like(x[..., :1], 1)], -1), "RGBA"),
        ((3, 32, 32), lambda x: x.transpose(0, 3, 1, 2), "channels first"),
        ((1, 32, 32), lambda x: (x @ [[0.299], [0.587], [0.114]]).transpose(0, 3, 1, 2), "grey, channels first"),
    ],
)
def test_other_channels_are_adapted(shape, adapt, facts):
    pixels = keras.Input(shape)
    x = layers.Permute((2, 3, 1))(pixels) if "first" in facts else pixels
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(6, 3, activation="relu")(x))
    model = keras.Model(pixels, layers.Dense(3, activation="softmax")(x))
    classifier = classify(model, preprocess=WAYS["0..1"])
    truth = np.asarray(model(adapt(pictures() / 255).astype(np.float32)))
    np.testing.assert_allclose(answers(classifier, pictures()), truth, atol=1e-5)
    assert classifier.preprocessing == f"0..1, {facts}"
    assert isinstance(classifier.head, LinearHead)


def test_a_preprocessing_that_makes_the_channels_itself():
    pixels = keras.Input((32, 32, 1))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(6, 3, activation="relu")(pixels))
    model = keras.Model(pixels, layers.Dense(3, activation="softmax")(x))
    classifier = classify(model, preprocess=lambda x: ops.image.rgb_to_grayscale(x) / 255)
    truth = np.asarray(model(ops.image.rgb_to_grayscale(pictures()) / 255))
    np.testing.assert_allclose(answers(classifier, pictures()), truth, atol=1e-6)


@pytest.mark.parametrize("shape", [(32, 32, 7), (100,)])
def test_other_inputs(shape):
    pixels = keras.Input(shape)
    text = refusal(keras.Model(pixels, layers.Dense(3)(layers.Flatten()(pixels))))
    assert "channels last: (None, height, width, 3)" in text


def test_other_outputs():
    pixels = keras.Input(SIZE)
    assert "returns one row of classes" in refusal(keras.Model(pixels, layers.Conv2D(4, 3)(pixels)))


def perceptron(scale=None):
    pixels = keras.Input(SIZE)
    x = scale(pixels) if scale else pixels / 255.0
    return keras.Model(pixels, layers.Dense(3)(layers.Dense(9, "relu")(layers.Flatten()(x))))


def two_branches():
    pixels = keras.Input(SIZE)
    ends = [layers.GlobalAveragePooling2D()(layers.Conv2D(6, k, activation="relu")(pixels / 255.0)) for k in (3, 5)]
    return keras.Model(pixels, layers.Dense(3, activation="softmax")(layers.Concatenate()(ends)))


@pytest.mark.parametrize("scale", [lambda x: x / 255.0, layers.Rescaling(1 / 255), layers.RandomFlip()])
def test_no_spatial_layer(scale):
    classifier = classify(perceptron(scale))
    assert classifier.capabilities == {"gradient", "guided"}
    assert classifier.forward(pictures())[0].shape == (3, 1, 1, 1)


SHORT = {
    "occlusion": {"patch": 16, "stride": 16}, "rise": {"samples": 16}, "lime": {"samples": 32}, "sobol": {"rows": 2},
    "bay-lime": {"samples": 16}, "guided-ig": {"steps": 4}, "xrai": {"steps": 4},
    "kernel-shap": {"samples": 32}, "hsic": {"samples": 32}, "finite-differences": {"grid": 4}, "smoothgrad": {"samples": 2},
    "vargrad": {"samples": 2}, "integrated-gradients": {"steps": 4}, "blur-ig": {"steps": 4}, "extremal": {"steps": 3},
    "saliency": {}, "gradient-x-input": {}, "guided-backprop": {}, "full-grad": {},
    "consensus": {"methods": "grad-cam,saliency,guided-backprop"},
}  # fmt: skip


def test_only_the_cam_family_refuses_a_model_without_a_map(cat):
    """Two branches that meet after pooling: everything else explains them."""
    model = two_branches()
    classifier = classify(model)
    for name, method in METHODS.items():
        if name in SHORT:
            assert np.isfinite(explain(cat, classifier, name, **SHORT[name]).heatmap).all()
        else:
            assert method.family in ("cam", "attention") or name == "guided-grad-cam"
            missing = "a transformer" if method.family == "attention" else "a spatial map of features"
            with pytest.raises(ModelError, match=rf"needs {missing}.* choose saliency, "):
                explain(cat, classifier, name)
    assert default_method(classifier) == "occlusion"
    explanation = explain(cat, classifier, "consensus", **SHORT["consensus"])
    assert "grad-cam does not work with this model." in explanation.notes
    batch = tf.constant(pictures(1))
    logits = keras.Model(model.inputs, model.layers[-1].input)
    with tf.GradientTape() as tape:
        tape.watch(batch)
        score = (logits(batch) @ model.layers[-1].kernel)[0, 2]
    gradient = classifier.gradient(pictures(1), np.float32([0, 0, 1]))
    np.testing.assert_allclose(gradient, np.asarray(tape.gradient(score, batch)), rtol=1e-3, atol=1e-8)


def test_a_model_without_a_map_is_randomised():
    classifier = classify(perceptron())
    with randomised(classifier).randomise_down_to(0) as copy:
        assert not np.allclose(answers(copy, pictures()), answers(classifier, pictures()), atol=1e-3)


def test_labels():
    model = gap_model()
    assert "4 classes and 3 labels" in refusal(model, labels=["a", "b", "c"])
    assert "Two labels are the same" in refusal(model, labels=["a", "b", "c", "A "])
    assert "2 classes and 1 labels" in refusal(gap_model("sigmoid", 1), labels=["dog"])
    classifier = classify(model, labels=["a", " Big dog", "c", "d"])
    assert classifier.index("big DOG") == 1


def test_a_copy_that_answers_otherwise_is_not_used():
    class Forgetful(layers.Layer):
        def __init__(self, factor=1.0, **options):
            super().__init__(**options)
            self.factor = factor

        def call(self, x):
            return x * self.factor

        def get_config(self):
            return super().get_config()

    pixels = keras.Input(SIZE)
    x = Forgetful(factor=3.0)(layers.GlobalAveragePooling2D()(backbone(pixels)))
    assert "has other outputs" in refusal(keras.Model(pixels, layers.Dense(4)(x)))


def test_differences_that_a_saturated_softmax_hides():
    """A layer that forgets its factor 3, in front of a softmax whose probabilities are all 0 or 1."""

    class Forgetful(layers.Layer):
        def __init__(self, factor=1.0, **options):
            super().__init__(**options)
            self.factor = factor

        def call(self, x):
            return x * self.factor

        def get_config(self):
            return super().get_config()

    pixels = keras.Input(SIZE)
    x = Forgetful(3.0)(layers.GlobalAveragePooling2D()(layers.Conv2D(16, 3, activation="relu")(pixels)))
    assert "has other outputs" in refusal(keras.Model(pixels, layers.Dense(4, activation="softmax")(x)))


def test_preprocess_that_cannot_be_part_of_a_network():
    text = refusal(gap_model(), preprocess=lambda x: np.linalg.norm(np.asarray(x)))
    assert "write it with keras.ops or TensorFlow" in text
