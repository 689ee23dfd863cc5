"""Parameter counts, student extraction, widths, and the errors of the factory."""

import numpy as np
import pytest

from csd.errors import InputError

SIZES = {
    "edsr_large": ("edsr", {"n_feats": 256, "n_resblocks": 32, "res_scale": 0.1}),
    "edsr": ("edsr", {"n_feats": 64, "n_resblocks": 16}),
    "rcan": ("rcan", {}),
    "carn": ("carn", {}),
    "msrresnet": ("msrresnet", {}),
}
# Trainable parameters, whole / half / quarter.
COUNTS = {
    ("edsr_large", 2): (40729603, 10190339, 2551555),
    ("edsr_large", 3): (43680003, 10928259, 2736195),
    ("edsr_large", 4): (43089923, 10780675, 2699267),
    ("edsr", 2): (1369859, 343939, 86723),
    ("edsr", 3): (1554499, 390179, 98323),
    ("edsr", 4): (1517571, 380931, 96003),
    ("rcan", 2): (15444643, 3872083, 973483),
    ("rcan", 3): (15629283, 3918323, 985083),
    ("rcan", 4): (15592355, 3909075, 982763),
    ("carn", 2): (964163, 242467, 61331),
    ("carn", 3): (1148803, 288707, 72931),
    ("carn", 4): (1111875, 279459, 70611),
    # BasicSR's SRResNet x4: 1,517,571; the others follow from its definition
    ("msrresnet", 2): (1369859, 343939, 86723),
    ("msrresnet", 3): (1554499, 390179, 98323),
    ("msrresnet", 4): (1517571, 380931, 96003),
}


@pytest.mark.slow
@pytest.mark.parametrize(("size", "scale"), COUNTS)
def test_parameter_counts(size, scale, mindspore_cpu):
    from csd.nets import create_model

    name, hyper = SIZES[size]
    net = create_model(name, scale=scale, **hyper)
    for width, expected in zip((1.0, 0.5, 0.25), COUNTS[size, scale], strict=True):
        student = (
            net if width == 1.0 else create_model(name, scale=scale, **net.student_config(width))
        )
        assert sum(p.size for p in student.trainable_params()) == expected


TINY = {
    "edsr": {"n_feats": 20, "n_resblocks": 1, "res_scale": 0.1},
    "rcan": {"n_feats": 20, "n_resgroups": 1, "n_resblocks": 1, "reduction": 5},
    "carn": {"n_feats": 20},
    "msrresnet": {"n_feats": 20, "n_resblocks": 1},
}


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("width", [0.3, 0.77])
def test_extracted_student_equals_slice(name, width, mindspore_cpu):
    import mindspore as ms

    from csd.nets import create_model, extract_student

    net = create_model(name, scale=3, **TINY[name])
    student = extract_student(net, width)
    assert type(student) is type(net)
    assert student.hyper["n_feats"] == int(20 * width)
    x = ms.Tensor(np.random.default_rng(0).uniform(0, 255, (1, 3, 7, 9)).astype(np.float32))
    sliced = net(x, width).asnumpy()
    assert sliced.shape == (1, 3, 21, 27)
    np.testing.assert_allclose(student(x).asnumpy(), sliced, rtol=0, atol=1e-4)
    assert np.abs(sliced - net(x).asnumpy()).max() > 1e-3


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("width", [0.3, 0.77])
def test_inserted_student_computes_what_it_did(name, width, mindspore_cpu):
    import mindspore as ms

    from csd.checkpoints import network_state
    from csd.nets import create_model, extract_student, insert_student

    net = create_model(name, scale=3, **TINY[name])
    other = extract_student(create_model(name, scale=3, **TINY[name]), width)
    before = network_state(net)
    insert_student(net, other, width)
    x = ms.Tensor(np.random.default_rng(0).uniform(0, 255, (1, 3, 7, 9)).astype(np.float32))
    np.testing.assert_allclose(net(x, width).asnumpy(), other(x).asnumpy(), rtol=0, atol=1e-4)
    given = network_state(other)
    for tensor, value in network_state(net).items():
        changed = np.count_nonzero(value != before[tensor])
        assert changed <= given[tensor].size < max(value.size, 4)  # nothing outside the prefix


def test_only_the_student_of_that_width_is_inserted(mindspore_cpu):
    from csd.nets import create_model, extract_student, insert_student

    net = create_model("edsr", scale=2, n_feats=8, n_resblocks=1)
    for wrong in (extract_student(net, 0.5), create_model("edsr", scale=3, n_feats=2)):
        with pytest.raises(InputError, match=r"not the student of width 0\.25, which is edsr x2"):
            insert_student(net, wrong, 0.25)


@pytest.mark.parametrize(
    ("width", "words"), [(0.01, "no channel"), (0.0, "outside"), (1.5, "outside"), (-1, "outside")]
)
def test_width_without_channels_is_refused(width, words, mindspore_cpu):
    from csd.nets import create_model, extract_student

    with pytest.raises(InputError, match=words):
        extract_student(create_model("edsr", scale=2, n_feats=8, n_resblocks=1), width)


def test_attention_must_keep_a_channel(mindspore_cpu):
    from csd.nets import check_width, create_model

    net = create_model("rcan", scale=2, n_feats=32, n_resgroups=1, n_resblocks=1, reduction=16)
    check_width(net, 0.5)
    with pytest.raises(InputError, match="n_squeezed"):
        check_width(net, 0.25)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": "srcnn", "scale": 2}, "unknown model 'srcnn'"),
        ({"name": "edsr", "scale": 5}, "scale 5"),
        ({"name": "carn", "scale": 2, "n_resblocks": 3}, "n_resblocks"),
        ({"name": "edsr", "scale": 2, "n_feats": 0}, "n_feats"),
        ({"name": "rcan", "scale": 2, "n_feats": 8, "reduction": 16}, "no channel"),
    ],
)
def test_factory_errors(arguments, words, mindspore_cpu):
    from csd.nets import create_model

    with pytest.raises(InputError, match=words):
        create_model(**arguments)


def test_encoder_input_normalisation_and_taps(mindspore_cpu):
    import mindspore as ms

    from csd.nets import VGG19_LAYERS, VGGEncoder

    encoder = VGGEncoder(VGG19_LAYERS)
    assert len(encoder.convs) == 13  # nothing behind relu5_1
    layers = (4, 4, "M", 6, "M")
    plain, shifted = VGGEncoder(layers), VGGEncoder(layers, (10, 20, 30), (2, 4, 5))
    for e in (plain, shifted):
        e.load_random_weights(seed=3)
    x = np.random.default_rng(1).uniform(0, 255, (2, 3, 8, 8)).astype(np.float32)
    by_hand = (x - np.reshape([10, 20, 30], (3, 1, 1))) / np.reshape([2, 4, 5], (3, 1, 1))
    expected = plain(ms.Tensor(by_hand.astype(np.float32)))
    found = shifted(ms.Tensor(x))
    assert [f.shape for f in found] == [(2, 4, 8, 8), (2, 6, 4, 4)]
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a.asnumpy(), b.asnumpy(), rtol=1e-4, atol=1e-4)


def test_encoder_weight_errors(mindspore_cpu):
    from csd.nets import VGGEncoder

    encoder = VGGEncoder((4, "M", 6))
    with pytest.raises(InputError, match="needs 2 convolutions"):
        encoder.load_conv_weights([(np.zeros((4, 3, 3, 3)), np.zeros(4))])
    with pytest.raises(InputError, match="convolution 0"):
        encoder.load_conv_weights([(np.zeros((5, 3, 3, 3)), np.zeros(5))] * 2)
