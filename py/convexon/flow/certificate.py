"""The certificate of stage ``solve``: what is claimed of the solution, in one artefact."""

from __future__ import annotations

from convexon.certify.certificate import Certificate
from convexon.convex.model.penalty import L1
from convexon.data.dataset import SpikeDataset
from convexon.quantize.readout import sample_margins
from convexon.snn.network import Network
from convexon.train.claims import certificate_of
from convexon.train.columns.dictionary import SpikeDictionary, patterns
from convexon.train.columns.rows import Rows
from convexon.train.selection import Pool, least_weight
from convexon.train.settings import SolveSettings
from convexon.train.solved import SolvedProgram


def certificate_for(
    settings: SolveSettings,
    *,
    rows: Rows,
    test: SpikeDataset,
    dictionary: SpikeDictionary,
    solved: SolvedProgram,
    network: Network,
) -> Certificate:
    """Certify a solution anew, and bound what rounding its readout does.

    The universal bound counts samples with equal inputs as one input, whatever their labels are.
    """
    pool = Pool(rows=rows, n_classes=test.n_classes, dictionary=dictionary, weights=solved.weights)
    drawn = pool.program(settings.loss, L1(), solved.certificate.rho)
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
        min_weight=least_weight(settings),
        about="every column drawn",
        readout_bits=settings.readout_bits,
        others=(held_out,),
    )
