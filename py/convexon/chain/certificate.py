"""The certificate of stage ``solve``: what is claimed of the solution, in one artefact."""

from __future__ import annotations

from convexon.chain.program import targets_for
from convexon.chain.settings import SolveSettings
from convexon.convex import L1, ConvexProgram, LossKind, loss_for
from convexon.convex.claims import certificate_of
from convexon.convex.dictionary import SpikeDictionary, patterns
from convexon.convex.rows import every_row
from convexon.convex.solved import SolvedProgram
from convexon.dataset import SpikeDataset
from convexon.network import Network
from convexon.proof.certificate import Certificate
from convexon.quantize import sample_margins


def certificate_for(
    settings: SolveSettings,
    *,
    train: SpikeDataset,
    test: SpikeDataset,
    dictionary: SpikeDictionary,
    solved: SolvedProgram,
    network: Network,
) -> Certificate:
    """Certify a solution anew, and bound what rounding its readout does.

    The universal bound counts samples with equal inputs as one input, whatever their labels are.
    """
    rows = every_row(train, settings.readout_mode)
    classes = train.n_classes
    drawn = ConvexProgram(
        features=dictionary.with_intercept(),
        targets=targets_for(settings.loss, train.labels, classes),
        loss=loss_for(settings.loss),
        penalty=L1(),
        rho=solved.certificate.rho,
        n_classes=1 if settings.loss is LossKind.LOGISTIC else classes,
    )
    held_out = sample_margins(
        patterns(network.branches, test, settings.readout_mode),
        network.readout_weights,
        network.readout_biases,
        bits=settings.readout_bits,
        name="test",
    )
    return certificate_of(
        drawn,
        solved.columns,
        solved.W,
        dual=solved.dual,
        tolerance=settings.tolerance,
        max_feature=dictionary.max_feature,
        groups=rows.groups,
        about="every column drawn",
        readout_bits=settings.readout_bits,
        others=(held_out,),
    )
