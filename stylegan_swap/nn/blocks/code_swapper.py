"""CodeSwapper: which rows of W+ come from which person, and how the others are fused.

A policy has one letter per row: T is the attribute person's row, S the identity person's, F a row fused by a
cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from stylegan_swap.nn.blocks.cells import EmbeddingCells, InjectionCell, RowAffineEdit, TransferCell

CellName = Literal["transfer", "injection", "embedding"]

# Rows 0..3 carry pose and layout, 4..10 the features of the face, the others colour (spec §8.3).
COARSE_ROWS = 4
APPEARANCE_ROW = 11
DIRECTION_ROWS = 7
GATE = 2.0


@dataclass(frozen=True)
class Preset:
    """How a published swapper is put together; ``CodeSwapper.from_preset`` builds it.

    Attributes:
        coarse: rows that stay the attribute person's.
        letter: letter of the rows in between.
        appearance: first row of the colour band, or None where there is none.
        appearance_letter: letter of the colour band.
        cells: kind of the cells behind F.
        edit: coefficient of the row-affine edit, or None.
        banded_gates: whether gates start towards the identity (attribute) side in the identity
            (colour) band instead of at random.
    """

    coarse: int
    letter: str
    appearance: int | None = None
    appearance_letter: str = ""
    cells: CellName | None = None
    edit: float | None = None
    banded_gates: bool = False

    def policy(self, n_latent: int) -> str:
        """The policy string for ``n_latent`` rows."""
        appearance = n_latent if self.appearance is None else min(self.appearance, n_latent)
        middle = max(appearance - self.coarse, 0)
        letters = "T" * self.coarse + self.letter * middle
        return (letters + self.appearance_letter * (n_latent - appearance))[:n_latent]


PRESETS: dict[str, Preset] = {
    "megafs_ftm": Preset(COARSE_ROWS, "F", cells="transfer"),
    "megafs_injection": Preset(COARSE_ROWS, "F", cells="injection"),
    "megafs_lcr": Preset(COARSE_ROWS, "S"),
    "fslsd": Preset(0, "S", APPEARANCE_ROW, "T", edit=2.0),
    "unified": Preset(COARSE_ROWS, "F", APPEARANCE_ROW, "F", cells="transfer", banded_gates=True),
    "default": Preset(COARSE_ROWS, "F", APPEARANCE_ROW, "F", cells="embedding", banded_gates=True),
}


class CodeSwapper(nn.Module):
    """Mixes the codes of an identity and an attribute photograph row by row.

    The parameter names of the transfer and injection cells are MegaFS's (``weight``, ``blocks.*``),
    so its weights load unchanged (Zhu et al. 2021, "One Shot Face Swapping on Megapixels"); the edit
    is FSLSD's (Xu et al. 2022).

    Args:
        policy: one letter of T, S, F per row.
        style_dim: width D of a row.
        cells: kind of the cells behind F: "transfer", "injection" or "embedding" (driven by the
            identity embedding).
        direction_rows: how many leading rows a landmark direction may move.
        edit: coefficient of the closing row-affine edit; None leaves it out.
        banded_gates: start the gates at +2 in the identity band and −2 in the colour band.
        embedding_dim: width of the identity embedding.
        hidden: width of the embedding's mapping network.
        residual_drop: probability that the identity photo's own codes are left out in training.

    Raises:
        ValueError: if the policy has other letters, or F rows without cells.
    """

    def __init__(
        self,
        policy: str,
        style_dim: int = 512,
        cells: CellName | None = None,
        *,
        direction_rows: int = DIRECTION_ROWS,
        edit: float | None = None,
        banded_gates: bool = False,
        embedding_dim: int = 128,
        hidden: int | None = None,
        residual_drop: float = 0.3,
    ) -> None:
        super().__init__()
        if not policy or set(policy) - set("TSF"):
            raise ValueError(f"A policy is one letter of T, S, F per row, got {policy!r}.")
        if ("F" in policy) != (cells is not None):
            raise ValueError(f"Policy {policy!r} and cells={cells!r} do not fit: F rows need cells.")
        self.policy = policy
        self.style_dim = style_dim
        self.cells = cells
        self.direction_rows = direction_rows
        self.fused_rows = [i for i, letter in enumerate(policy) if letter == "F"]
        count = len(self.fused_rows)
        if cells == "transfer":
            self.blocks = nn.ModuleList(TransferCell(style_dim) for _ in range(count))
        elif cells == "injection":
            self.blocks = nn.ModuleList(InjectionCell(style_dim) for _ in range(count))
        elif cells == "embedding":
            self.embedding = EmbeddingCells(
                count, style_dim, embedding_dim, hidden or style_dim, residual_drop
            )
        if cells in ("transfer", "embedding"):
            gates = torch.randn(1, count, style_dim)
            if banded_gates:
                for index, row in enumerate(self.fused_rows):
                    gates[0, index] = GATE if row < APPEARANCE_ROW else -GATE
            self.weight = nn.Parameter(gates)
        if edit is not None:
            self.edit = RowAffineEdit(len(policy), style_dim, edit)

    @classmethod
    def from_preset(
        cls, name: str, n_latent: int, style_dim: int = 512, **options: int | float
    ) -> CodeSwapper:
        """Build a published mixture: megafs_ftm, megafs_injection, megafs_lcr, fslsd, unified, default.

        Raises:
            ValueError: if there is no such preset.
        """
        if name not in PRESETS:
            raise ValueError(f"There is no swapper preset {name!r}; there are: {', '.join(sorted(PRESETS))}.")
        preset = PRESETS[name]
        return cls(
            preset.policy(n_latent),
            style_dim,
            preset.cells,
            edit=preset.edit,
            banded_gates=preset.banded_gates,
            **options,  # type: ignore[arg-type]
        )

    @property
    def n_latent(self) -> int:
        """Number of rows L."""
        return len(self.policy)

    def forward(
        self,
        identity: Tensor | None,
        attribute: Tensor,
        embedding: Tensor | None = None,
        *,
        direction: Tensor | None = None,
        structure: float | Tensor = 1.0,
        appearance: float | Tensor = 1.0,
    ) -> Tensor:
        """Return the mixed codes ``[batch, L, D]``.

        Args:
            identity: codes of the identity photograph ``[batch, L, D]``; None only with embedding
                cells and no S row, for identities without a photograph.
            attribute: codes of the attribute photograph ``[batch, L, D]``.
            embedding: standardised identity embedding ``[batch, 128]``, for embedding cells.
            direction: landmark direction ``[batch, n, D]``, added to the first n identity rows.
            structure: dial 0..1 over the identity rows below 11 (0 = the attribute person's row,
                1 = as the policy says), a number or ``[batch]``.
            appearance: the same dial over the colour rows from 11 on.

        Raises:
            ValueError: if shapes or the arguments do not fit the policy and the cells.
        """
        self._check(identity, attribute, embedding, direction)
        if direction is not None and identity is not None:
            rows = direction.shape[1]
            identity = torch.cat([identity[:, :rows] + direction, identity[:, rows:]], 1)
        fused = self._fuse(identity, attribute, embedding)
        mixed: list[Tensor] = []
        for row, letter in enumerate(self.policy):
            target = attribute[:, row]
            if letter == "T":
                mixed.append(target)
                continue
            source = fused[row] if identity is None or letter == "F" else identity[:, row]
            dial = structure if row < APPEARANCE_ROW else appearance
            # At the end points the row itself is taken: 0·∞ and rounding must not leak the other person.
            if not isinstance(dial, Tensor) and dial in (0, 1):
                mixed.append(source if dial else target)
            elif isinstance(dial, Tensor):
                mixed.append(torch.lerp(target, source, dial.to(target).reshape(-1, 1)))
            else:
                mixed.append(target + dial * (source - target))
        codes = torch.stack(mixed, 1)
        return self.edit(codes) if hasattr(self, "edit") else codes

    def _fuse(
        self, identity: Tensor | None, attribute: Tensor, embedding: Tensor | None
    ) -> dict[int, Tensor]:
        """The fused rows by row number."""
        if not self.fused_rows:
            return {}
        if self.cells == "embedding":
            assert embedding is not None
            identity_rows = None if identity is None else identity[:, self.fused_rows]
            sources = self.embedding(embedding, identity_rows)
            gate = self.weight.sigmoid()
            rows = gate * sources + (1 - gate) * attribute[:, self.fused_rows]
            return dict(zip(self.fused_rows, rows.unbind(1), strict=True))
        assert identity is not None
        result: dict[int, Tensor] = {}
        for index, (row, cell) in enumerate(zip(self.fused_rows, self.blocks, strict=True)):
            u, v = identity[:, row], attribute[:, row]
            if self.cells == "injection":
                result[row] = cell(u, v)
                continue
            u, v = cell(u, v)
            gate = self.weight[:, index].sigmoid()
            result[row] = gate * u + (1 - gate) * v
        return result

    def _check(
        self, identity: Tensor | None, attribute: Tensor, embedding: Tensor | None, direction: Tensor | None
    ) -> None:
        shape = (self.n_latent, self.style_dim)
        for name, codes in (("identity", identity), ("attribute", attribute)):
            if codes is not None and (codes.ndim != 3 or codes.shape[1:] != shape):
                raise ValueError(
                    f"{name} codes must be [batch, {shape[0]}, {shape[1]}], got {tuple(codes.shape)}."
                )
        if self.cells == "embedding" and embedding is None:
            raise ValueError("This swapper is driven by the identity embedding; pass embedding=.")
        if identity is None and (self.cells != "embedding" or "S" in self.policy):
            raise ValueError(f"Policy {self.policy!r} with cells={self.cells!r} needs the identity codes.")
        if direction is None:
            return
        if identity is None:
            raise ValueError("A landmark direction moves the identity codes, which are None.")
        if direction.ndim != 3 or direction.shape[1] > self.direction_rows:
            raise ValueError(
                f"direction must be [batch, n, {self.style_dim}] with n <= {self.direction_rows}, "
                f"got {tuple(direction.shape)}."
            )
