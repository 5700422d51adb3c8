"""The same model in TensorFlow, for dag.gpu.yaml; writes the same file as train.py."""

import argparse
import json
import os

import tensorflow as tf

import digits


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, required=True)
    arguments = parser.parse_args()

    images, labels = zip(*digits.load("train"))
    layer = tf.keras.layers.Dense(digits.CLASSES, use_bias=False)
    model = tf.keras.Sequential([layer])
    model.compile(
        optimizer=tf.keras.optimizers.Adam(0.01),
        loss=tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    history = model.fit(
        tf.constant(images), tf.constant(labels), epochs=arguments.epochs, batch_size=256, verbose=2
    )

    weights = layer.get_weights()[0].T.tolist()
    with open(os.path.join(os.environ["DAGBOOK_ARTIFACTS"], "model.json"), "w", encoding="utf-8") as out:
        json.dump({"kind": "softmax", "weights": weights}, out)
    with open(os.environ["DAGBOOK_OUTPUT"], "a", encoding="utf-8") as out:
        out.write(f"loss={history.history['loss'][-1]:.4f}\nparameters={sum(map(len, weights))}\n")


if __name__ == "__main__":
    main()
