from keras_perceptual.gradients import message, reasons


def all_reasons():
    return [
        value
        for name, value in vars(reasons).items()
        if name.isupper() and isinstance(value, str)
    ]


def test_every_reason_is_explained():
    assert len(set(all_reasons())) == len(all_reasons()) == 20
    for reason in all_reasons():
        assert message.ADVICE[reason]
