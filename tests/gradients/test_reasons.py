from keras_perceptual.gradients import diagnoses, reasons


def test_every_reason_is_the_title_of_a_diagnosis():
    found = [
        value
        for name, value in vars(reasons).items()
        if name.isupper() and isinstance(value, str)
    ]
    assert len(set(found)) == len(found) == 20
    assert set(found) <= {row.title for row in diagnoses.ALL}
