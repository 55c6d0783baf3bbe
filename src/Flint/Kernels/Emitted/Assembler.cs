using System.Numerics;
using System.Runtime.InteropServices;

namespace Flint.Kernels;

/// <summary>The general registers that a System V callee may overwrite, and rbx, which it has to keep, by their number in an instruction.</summary>
internal enum GeneralRegister
{
    Rax = 0,
    Rcx = 1,
    Rdx = 2,
    Rbx = 3,
    Rsi = 6,
    Rdi = 7,
    R8 = 8,
    R9 = 9,
    R10 = 10,
    R11 = 11,
}

/// <summary>A place in memory: base + index·factor + displacement, in bytes; the factor is 1, 2, 4 or 8.</summary>
internal readonly record struct Address(GeneralRegister Base, int Displacement = 0, GeneralRegister? Index = null, int Factor = 1);

/// <summary>
/// Writes the few x86-64 instructions that tiles are made of. Vectors are the 512-bit registers 0 to 31, destination first as in
/// Intel's manual; a memory operand of a vector instruction is one 32-bit value repeated in every lane, save in
/// <see cref="Load"/> and <see cref="Store"/>. Encodings: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2.
/// </summary>
internal sealed class Assembler
{
    private const int Map0F = 1, Map0F38 = 2;
    private const int Plain = 0, Prefix66 = 1;
    private const int LaneBytes = 4, VectorBytes = 64;
    private const int NeedsSib = 4; // r/m of an address with an index

    private readonly List<byte> _code = [];

    /// <summary>Bytes written: where the next instruction starts.</summary>
    public int Position => _code.Count;

    public ReadOnlySpan<byte> Code => CollectionsMarshal.AsSpan(_code);

    /// <summary>sums += the four products of each lane's unsigned bytes of <paramref name="codes"/> and signed bytes of <paramref name="quad"/> (AVX512-VNNI).</summary>
    public void Vpdpbusd(int sums, int codes, Address quad) => Vector(Map0F38, Prefix66, 0x50, sums, codes, quad, LaneBytes, repeated: true);

    public void Vpxord(int target, int a, int b) => Vector(Map0F, Prefix66, 0xef, target, a, b);

    public void Vmovdqa32(int target, int a) => Vector(Map0F, Prefix66, 0x6f, target, 0, a);

    public void Vpslld(int target, int a, int bits)
    {
        Vector(Map0F, Prefix66, 0x72, 6, target, a);
        Byte(bits);
    }

    public void Vpslld(int target, Address a, int bits)
    {
        Vector(Map0F, Prefix66, 0x72, 6, target, a, LaneBytes, repeated: true);
        Byte(bits);
    }

    public void Vpbroadcastd(int target, Address a) => Vector(Map0F38, Prefix66, 0x58, target, 0, a, LaneBytes, repeated: false);

    public void Vpsubd(int target, int a, Address b) => Vector(Map0F, Prefix66, 0xfa, target, a, b, LaneBytes, repeated: true);

    public void Vcvtdq2ps(int target, int a) => Vector(Map0F, Plain, 0x5b, target, 0, a);

    public void Vmulps(int target, int a, Address b) => Vector(Map0F, Plain, 0x59, target, a, b, LaneBytes, repeated: true);

    /// <summary>sums += a·b, rounded once.</summary>
    public void Vfmadd231ps(int sums, int a, int b) => Vector(Map0F38, Prefix66, 0xb8, sums, a, b);

    /// <inheritdoc cref="Vfmadd231ps(int, int, int)"/>
    public void Vfmadd231ps(int sums, int a, Address b) => Vector(Map0F38, Prefix66, 0xb8, sums, a, b, LaneBytes, repeated: true);

    /// <summary>vmovups from memory: all 64 bytes, at any alignment.</summary>
    public void Load(int target, Address a) => Vector(Map0F, Plain, 0x10, target, 0, a, VectorBytes, repeated: false);

    /// <summary>vmovups to memory.</summary>
    public void Store(Address target, int a) => Vector(Map0F, Plain, 0x11, a, 0, target, VectorBytes, repeated: false);

    public void Mov(GeneralRegister target, Address a) => General(0x8b, target, a);

    public void Add(GeneralRegister target, Address a) => General(0x03, target, a);

    public void Add(GeneralRegister target, int value)
    {
        General(0x81, 0, target);
        Int(value);
    }

    public void Push(GeneralRegister register) => Byte(0x50 | Low(register));

    public void Pop(GeneralRegister register) => Byte(0x58 | Low(register));

    /// <summary>prefetcht1: asks for a cache line, into the second level.</summary>
    public void Prefetch(Address a)
    {
        Byte(0x0f);
        Byte(0x18);
        Memory(2, a with { Base = (GeneralRegister)Low(a.Base) }, 1);
    }

    public void Lea(GeneralRegister target, Address a) => General(0x8d, target, a);

    public void Dec(GeneralRegister target) => General(0xff, 1, target);

    /// <summary>Jumps back to <paramref name="target"/> while the last result was not zero.</summary>
    public void Jnz(int target)
    {
        Byte(0x0f);
        Byte(0x85);
        Int(target - (Position + 4));
    }

    public void Vzeroupper()
    {
        Byte(0xc5);
        Byte(0xf8);
        Byte(0x77);
    }

    public void Ret() => Byte(0xc3);

    /// <summary>Goes on at a multiple of so many bytes; what lies between must not run (int3).</summary>
    public void Align(int bytes)
    {
        while (Position % bytes != 0) Byte(0xcc);
    }

    /// <summary>The number of a register that an instruction without REX can name.</summary>
    private static int Low(GeneralRegister register) =>
        register < GeneralRegister.R8 ? (int)register : throw new ArgumentOutOfRangeException(nameof(register), $"{register} has no encoding here.");

    /// <summary>A vector instruction over registers.</summary>
    /// <param name="map">Opcode map.</param>
    /// <param name="prefix">Implied prefix.</param>
    /// <param name="opcode">Opcode.</param>
    /// <param name="reg">What stands in ModRM.reg: a register, or more of the opcode.</param>
    /// <param name="first">The register in EVEX.vvvv; 0 where the instruction has none.</param>
    /// <param name="second">The register in ModRM.r/m.</param>
    private void Vector(int map, int prefix, byte opcode, int reg, int first, int second)
    {
        Evex(map, prefix, reg, first, second >> 4, second >> 3, repeated: false);
        Byte(opcode);
        Byte(0xc0 | (reg & 7) << 3 | second & 7);
    }

    /// <summary>A vector instruction with an operand in memory of <paramref name="unit"/> bytes, which short displacements count in.</summary>
    private void Vector(int map, int prefix, byte opcode, int reg, int first, Address a, int unit, bool repeated)
    {
        Evex(map, prefix, reg, first, (int)(a.Index ?? 0) >> 3, (int)a.Base >> 3, repeated);
        Byte(opcode);
        Memory(reg, a, unit);
    }

    /// <summary>The four bytes before a vector opcode: register bits inverted, 512-bit length, no mask.</summary>
    private void Evex(int map, int prefix, int reg, int first, int x, int b, bool repeated)
    {
        Byte(0x62);
        Byte((~reg >> 3 & 1) << 7 | (~x & 1) << 6 | (~b & 1) << 5 | (~reg >> 4 & 1) << 4 | map);
        Byte((~first & 15) << 3 | 1 << 2 | prefix);
        Byte(2 << 5 | (repeated ? 1 << 4 : 0) | (~first >> 4 & 1) << 3);
    }

    /// <summary>A 64-bit instruction over a register and memory.</summary>
    private void General(byte opcode, GeneralRegister reg, Address a)
    {
        Byte(0x48 | (int)reg >> 3 << 2 | (int)(a.Index ?? 0) >> 3 << 1 | (int)a.Base >> 3);
        Byte(opcode);
        Memory((int)reg, a, 1);
    }

    /// <summary>A 64-bit instruction over one register; <paramref name="more"/> is more of the opcode.</summary>
    private void General(byte opcode, int more, GeneralRegister register)
    {
        Byte(0x48 | (int)register >> 3);
        Byte(opcode);
        Byte(0xc0 | more << 3 | (int)register & 7);
    }

    /// <summary>ModRM, SIB and the shortest displacement. No base here is rsp, rbp, r12 or r13, which are encoded otherwise.</summary>
    private void Memory(int reg, Address a, int unit)
    {
        int units = a.Displacement / unit;
        bool isShort = a.Displacement % unit == 0 && units is >= sbyte.MinValue and <= sbyte.MaxValue;
        int mode = a.Displacement == 0 ? 0 : isShort ? 1 : 2;
        Byte(mode << 6 | (reg & 7) << 3 | (a.Index is null ? (int)a.Base & 7 : NeedsSib));
        if (a.Index is { } index) Byte(BitOperations.Log2((uint)a.Factor) << 6 | ((int)index & 7) << 3 | (int)a.Base & 7);
        if (mode == 1) Byte(units);
        else if (mode == 2) Int(a.Displacement);
    }

    private void Byte(int value) => _code.Add((byte)value);

    private void Int(int value)
    {
        for (int shift = 0; shift < 32; shift += 8) Byte(value >> shift);
    }
}
