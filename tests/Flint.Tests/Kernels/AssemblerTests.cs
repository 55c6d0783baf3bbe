using Flint.Kernels;
using static Flint.Kernels.GeneralRegister;

namespace Flint.Tests.Kernels;

/// <summary>Every instruction is what GNU as makes of the same text.</summary>
public sealed class AssemblerTests
{
    private static readonly (string Text, Action<Assembler> Write, string Bytes)[] Instructions =
    [
        ("vpdpbusd zmm13, zmm28, [rdx]{1to16}", a => a.Vpdpbusd(13, 28, new(Rdx)), "62 72 1d 50 50 2a"),
        ("vpdpbusd zmm31, zmm24, [rdx+r10*8+28]{1to16}", a => a.Vpdpbusd(31, 24, new(Rdx, 28, R10, 8)), "62 22 3d 50 50 7c d2 07"),
        ("vpdpbusd zmm7, zmm25, [rdx+r8*2+508]{1to16}", a => a.Vpdpbusd(7, 25, new(Rdx, 508, R8, 2)), "62 b2 35 50 50 7c 42 7f"),
        ("vpdpbusd zmm7, zmm25, [rdx+r8*2+512]{1to16}", a => a.Vpdpbusd(7, 25, new(Rdx, 512, R8, 2)), "62 b2 35 50 50 bc 42 00 02 00 00"),
        ("vpxord zmm5, zmm5, zmm5", a => a.Vpxord(5, 5, 5), "62 f1 55 48 ef ed"),
        ("vpxord zmm23, zmm23, zmm23", a => a.Vpxord(23, 23, 23), "62 a1 45 40 ef ff"),
        ("vmovdqa32 zmm12, zmm30", a => a.Vmovdqa32(12, 30), "62 11 7d 48 6f e6"),
        ("vpslld zmm12, [rcx+r9*4+8]{1to16}, 7", a => a.Vpslld(12, new Address(Rcx, 8, R9, 4), 7), "62 b1 1d 58 72 74 89 02 07"),
        ("vpslld zmm30, zmm29, 5", a => a.Vpslld(30, 29, 5), "62 91 0d 40 72 f5 05"),
        ("vpbroadcastd zmm29, [rcx+r8+8]", a => a.Vpbroadcastd(29, new(Rcx, 8, R8)), "62 22 7d 48 58 6c 01 02"),
        ("vpsubd zmm29, zmm29, [rcx+r8+12]{1to16}", a => a.Vpsubd(29, 29, new(Rcx, 12, R8)), "62 21 15 50 fa 6c 01 03"),
        ("vcvtdq2ps zmm17, zmm17", a => a.Vcvtdq2ps(17, 17), "62 a1 7c 48 5b c9"),
        ("vmulps zmm26, zmm24, [rcx+r11]{1to16}", a => a.Vmulps(26, 24, new(Rcx, 0, R11)), "62 21 3c 50 59 14 19"),
        ("vfmadd231ps zmm3, zmm17, zmm26", a => a.Vfmadd231ps(3, 17, 26), "62 92 75 40 b8 da"),
        ("vfmadd231ps zmm3, zmm24, [rcx+4]{1to16}", a => a.Vfmadd231ps(3, 24, new Address(Rcx, 4)), "62 f2 3d 50 b8 59 01"),
        ("vmovups zmm24, [rsi+1024]", a => a.Load(24, new(Rsi, 1024)), "62 61 7c 48 10 46 10"),
        ("vmovups zmm24, [rsi-64]", a => a.Load(24, new(Rsi, -64)), "62 61 7c 48 10 46 ff"),
        ("vmovups zmm24, [rsi+8192]", a => a.Load(24, new(Rsi, 8192)), "62 61 7c 48 10 86 00 20 00 00"),
        ("vmovups zmm24, [rsi+4]", a => a.Load(24, new(Rsi, 4)), "62 61 7c 48 10 86 04 00 00 00"),
        ("vmovups [rax+64], zmm9", a => a.Store(new(Rax, 64), 9), "62 71 7c 48 11 48 01"),
        ("vmovups [r10], zmm22", a => a.Store(new(R10), 22), "62 c1 7c 48 11 32"),
        ("mov rsi, [rdi]", a => a.Mov(Rsi, new(Rdi)), "48 8b 37"),
        ("mov r8, [rdi+40]", a => a.Mov(R8, new(Rdi, 40)), "4c 8b 47 28"),
        ("mov rax, [rdi+256]", a => a.Mov(Rax, new(Rdi, 256)), "48 8b 87 00 01 00 00"),
        ("add rax, [rdi+32]", a => a.Add(Rax, new Address(Rdi, 32)), "48 03 47 20"),
        ("add rsi, 1280", a => a.Add(Rsi, 1280), "48 81 c6 00 05 00 00"),
        ("add r9, 0x12345678", a => a.Add(R9, 0x12345678), "49 81 c1 78 56 34 12"),
        ("lea r9, [r8+r8*2]", a => a.Lea(R9, new(R8, 0, R8, 2)), "4f 8d 0c 40"),
        ("lea r11, [r9+r8*4]", a => a.Lea(R11, new(R9, 0, R8, 4)), "4f 8d 1c 81"),
        ("lea rax, [rdx+r10*8+16]", a => a.Lea(Rax, new(Rdx, 16, R10, 8)), "4a 8d 44 d2 10"),
        ("mov rbx, [rdi+72]", a => a.Mov(Rbx, new(Rdi, 72)), "48 8b 5f 48"),
        ("add rbx, [rdi+80]", a => a.Add(Rbx, new Address(Rdi, 80)), "48 03 5f 50"),
        ("push rbx", a => a.Push(Rbx), "53"),
        ("pop rbx", a => a.Pop(Rbx), "5b"),
        ("prefetcht1 [rbx]", a => a.Prefetch(new(Rbx)), "0f 18 13"),
        ("prefetcht1 [rbx+64]", a => a.Prefetch(new(Rbx, 64)), "0f 18 53 40"),
        ("prefetcht1 [rbx+512]", a => a.Prefetch(new(Rbx, 512)), "0f 18 93 00 02 00 00"),
        ("dec rax", a => a.Dec(Rax), "48 ff c8"),
        ("dec r11", a => a.Dec(R11), "49 ff cb"),
        ("vzeroupper", a => a.Vzeroupper(), "c5 f8 77"),
        ("ret", a => a.Ret(), "c3"),
        ("x: jnz x", a => a.Jnz(0), "0f 85 fa ff ff ff"),
    ];

    [Fact]
    public void EveryInstructionHasTheAssemblersBytes()
    {
        foreach ((string text, Action<Assembler> write, string bytes) in Instructions)
        {
            var to = new Assembler();
            write(to);
            Assert.Equal($"{text}: {bytes}", $"{text}: {Hex(to)}");
        }
    }

    [Fact]
    public void JumpsAndAlignmentCountFromTheStart()
    {
        var to = new Assembler();
        to.Ret();
        to.Align(8);
        int loop = to.Position;
        to.Dec(Rcx);
        to.Jnz(loop);
        Assert.Equal("c3 cc cc cc cc cc cc cc 48 ff c9 0f 85 f7 ff ff ff", Hex(to));
    }

    private static string Hex(Assembler code) => string.Join(' ', code.Code.ToArray().Select(b => b.ToString("x2")));
}
