"""The registry of all methods."""

import nnmf_runner
from nnmf_runner.methods import METHODS, in_parameters


def test_methods_are_registered_under_their_names():
    assert {name: method.name for name, method in METHODS.items()} == {name: name for name in METHODS}


def test_methods_name_the_estimators_that_there_are():
    for method in METHODS.values():
        assert getattr(nnmf_runner, method.estimator).__name__ == method.estimator


def test_a_new_method_has_an_estimator_of_its_name_and_messages_call_it_so(monkeypatch):
    class Plain(METHODS["neural"]):
        name = "plain"

    class Named(Plain):
        name, estimator = "named", "Other"

    assert (Plain.estimator, Named.estimator) == ("PlainNMF", "Other")
    monkeypatch.setitem(METHODS, "plain", Plain)
    assert in_parameters("method=plain, method=hier with solver=mu, method=named, cost=kl.") == (
        "PlainNMF, HierarchicalNMF with solver=mu, method=named, cost=kl."
    )
