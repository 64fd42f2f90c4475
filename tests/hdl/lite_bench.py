"""A host of AXI4-Lite in Amaranth's simulator."""

from __future__ import annotations

from typing import Any

from amaranth.sim import Simulator

from convexon_hdl.axi.accelerator import AxiAccelerator


class Host:
    """AXI4-Lite by hand, one transfer at a time; drives the clock itself."""

    def __init__(self, ctx: Any, top: AxiAccelerator) -> None:
        self.ctx, self.top = ctx, top
        self.at = {register.name: register.offset for register in top.register_map.registers}
        self.pushed: list[int] = []

    def port(self, name: str) -> Any:
        return getattr(self.top, f"s_axil_{name}")

    async def clock(self) -> None:
        load = getattr(self.top.accelerator, "load", None)
        if load is not None and self.ctx.get(load.valid) and self.ctx.get(load.ready):
            self.pushed.append(self.ctx.get(load.payload))
        self.ctx.set(self.top.aclk, 1)
        await self.ctx.delay(1e-6)
        self.ctx.set(self.top.aclk, 0)
        await self.ctx.delay(1e-6)

    async def until(self, name: str) -> None:
        for _ in range(50):
            if self.ctx.get(self.port(name)):
                return
            await self.clock()
        raise AssertionError(f"{name} never came")

    async def write(self, offset: int, value: int, strobe: int = 15, *, data_first: bool) -> int:
        self.ctx.set(self.port("awaddr"), offset)
        self.ctx.set(self.port("wdata"), value)
        self.ctx.set(self.port("wstrb"), strobe)
        for channel in ("w", "aw") if data_first else ("aw", "w"):
            self.ctx.set(self.port(f"{channel}valid"), 1)
            await self.until(f"{channel}ready")
            await self.clock()
            self.ctx.set(self.port(f"{channel}valid"), 0)
            assert not self.ctx.get(self.port("bvalid")) or channel == ("aw" if data_first else "w")
        await self.until("bvalid")
        answer = self.ctx.get(self.port("bresp"))
        self.ctx.set(self.port("bready"), 1)
        await self.clock()
        self.ctx.set(self.port("bready"), 0)
        return int(answer)

    async def read(self, offset: int) -> tuple[int, int]:
        self.ctx.set(self.port("araddr"), offset)
        self.ctx.set(self.port("arvalid"), 1)
        await self.until("arready")
        await self.clock()
        self.ctx.set(self.port("arvalid"), 0)
        await self.until("rvalid")
        answer = self.ctx.get(self.port("rdata")), self.ctx.get(self.port("rresp"))
        self.ctx.set(self.port("rready"), 1)
        await self.clock()
        self.ctx.set(self.port("rready"), 0)
        return answer


def run(top: AxiAccelerator, scenario: Any) -> None:
    async def bench(ctx: Any) -> None:
        host = Host(ctx, top)
        await host.clock()
        ctx.set(top.aresetn, 1)
        await scenario(host)

    simulator = Simulator(top)
    simulator.add_testbench(bench)
    simulator.run()
