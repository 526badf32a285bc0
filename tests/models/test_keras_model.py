"""Any Keras classifier, taken apart: the right layer, logits for probabilities, and the user's model untouched."""

import numpy as np
import pytest

keras = pytest.importorskip("keras")
import tensorflow as tf  # noqa: E402
from keras import layers, ops  # noqa: E402

from models import Classifier  # noqa: E402
from models.engine import LiteRT  # noqa: E402
from models.errors import ModelError, UserError  # noqa: E402
from models.head import LinearHead, NetworkHead  # noqa: E402
from models.keras_model import take_apart, to_classifier  # noqa: E402

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


def classify(model, labels=None, preprocess=None, name=None):
    return to_classifier(model, labels, preprocess, name, engine=Eager)


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
    classifier = Classifier.from_keras(model, ["a", "b", "c", "d"], name="mine")
    assert isinstance(classifier.engine, LiteRT)
    assert repr(classifier) == "Classifier('mine', 4 classes)"
    batch = pictures(20)
    assert np.allclose(answers(classifier, batch), np.asarray(model(batch)), atol=1e-5)
    assert classifier.canvas == (32, 32)
    top = classifier.predict(np.full((90, 160, 3), 77, np.uint8))
    assert {prediction.label for prediction in top} == {"a", "b", "c", "d"}


def test_an_open_input_becomes_the_usual_canvas():
    pixels = keras.Input((None, None, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, strides=8)(pixels))
    classifier = classify(keras.Model(pixels, layers.Dense(2)(x)))
    assert classifier.canvas == (224, 224)
    assert classifier.labels == ("class 0", "class 1")


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
    network, head, _ = take_apart(vgg_model())
    assert feature_layer(network) == "conv2"
    assert network.output_shape[0] == (None, 16, 16, 8)
    assert isinstance(head, NetworkHead)


def test_pooling_and_dropout_as_bare_operations():
    pixels = keras.Input(SIZE)
    x = layers.SpatialDropout2D(0.2)(layers.Conv2D(5, 3, activation="relu", name="last")(pixels))
    x = ops.average_pool(ops.max_pool(x, 2), 3)
    network, _, _ = take_apart(keras.Model(pixels, layers.Dense(3)(layers.Flatten()(x))))
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
    network, head, _ = take_apart(keras.Model(pixels, layers.Dense(3)(layers.GlobalAveragePooling2D()(x))))
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
    return take_apart(lively(keras.Model(pixels, x)))[1]


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
    head = take_apart(model)[1]
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


def test_the_users_model_is_untouched_after_a_refusal():
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
    with pytest.raises(ModelError, match=r"The layer 'stubborn.*' \(Stubborn\) cannot be copied; give it a get_config"):
        classify(model)
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
    assert "A Keras 3 model is needed" in refusal("model.keras")
    assert "not NoneType" in refusal(None)


def test_subclassed():
    class Mine(keras.Model):
        def __init__(self):
            super().__init__(name="mine")
            self.answer = layers.Dense(3)

        def call(self, x):
            return self.answer(ops.mean(x, (1, 2)))

    model = Mine()
    assert "'mine' is a subclassed model" in refusal(model)
    pixels = keras.Input(SIZE)
    assert "The nested model 'mine' is subclassed" in refusal(keras.Model(pixels, model(pixels)))


def test_unbuilt_sequential():
    assert "no input shape yet" in refusal(keras.Sequential([layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(3)]))


def test_two_inputs_or_outputs():
    a, b = keras.Input(SIZE), keras.Input(SIZE)
    x = layers.Dense(3)(layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(a + b)))
    assert "has 2 inputs and 1 outputs" in refusal(keras.Model([a, b], x))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(a))
    assert "has 1 inputs and 2 outputs" in refusal(keras.Model(a, [layers.Dense(3)(x), layers.Dense(2)(x)]))


@pytest.mark.parametrize("shape", [(3, 32, 32), (32, 32, 1), (32, 32, 4), (100,)])
def test_other_inputs(shape):
    pixels = keras.Input(shape)
    text = refusal(keras.Model(pixels, layers.Dense(3)(layers.Flatten()(pixels))))
    assert "channels last: (None, height, width, 3)" in text


def test_other_outputs():
    pixels = keras.Input(SIZE)
    assert "returns one row of classes" in refusal(keras.Model(pixels, layers.Conv2D(4, 3)(pixels)))


@pytest.mark.parametrize("scale", [lambda x: x / 255.0, layers.Rescaling(1 / 255), layers.RandomFlip()])
def test_no_spatial_layer(scale):
    pixels = keras.Input(SIZE)
    model = keras.Model(pixels, layers.Dense(3)(layers.Dense(9, "relu")(layers.Flatten()(scale(pixels)))))
    assert "no layer with a spatial map" in refusal(model)


def test_labels():
    model = gap_model()
    assert "4 classes and 3 labels" in refusal(model, labels=["a", "b", "c"])
    assert "Two of the labels are the same" in refusal(model, labels=["a", "b", "c", "A "])
    assert "2 classes and 1 labels" in refusal(gap_model("sigmoid", 1), labels=["dog"])
    classifier = classify(model, labels=["a", " Big dog", "c", "d"])
    assert classifier.index("big DOG") == 1


def test_probabilities_made_in_an_unknown_way():
    class Share(layers.Layer):
        def call(self, x):
            return x / ops.sum(x, -1, keepdims=True)

    pixels = keras.Input(SIZE)
    x = Share()(layers.Dense(4, "softplus")(layers.GlobalAveragePooling2D()(backbone(pixels))))
    assert "returns probabilities in a way that cannot be undone" in refusal(keras.Model(pixels, x))


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
    assert "does not answer as it does" in refusal(keras.Model(pixels, layers.Dense(4)(x)))


def test_a_namesake_of_softmax_is_found_out():
    class Softmax(layers.Layer):
        def call(self, x):
            return ops.softmax(x * 5.0)

    pixels = keras.Input(SIZE)
    x = Softmax()(layers.Dense(4)(layers.GlobalAveragePooling2D()(backbone(pixels))))
    assert "does not answer as it does" in refusal(keras.Model(pixels, x))


def test_preprocess_that_cannot_be_part_of_a_network():
    text = refusal(gap_model(), preprocess=lambda x: np.linalg.norm(np.asarray(x)))
    assert "write it with keras.ops or TensorFlow" in text
