namespace Flint.Kernels;

/// <summary>
/// Sixteen 32-bit lanes: the one vector every kernel is written over. <see cref="Lanes512"/> holds them in one register,
/// <see cref="Lanes256"/> in two, <see cref="LanesScalar"/> in plain fields; the last is the oracle of the others.
/// Lane i of a weight kernel is output row i of a group, so no operation here ever adds across lanes, save the reductions
/// <see cref="Sum"/> and <see cref="MaxAcross"/>, whose tree is fixed: (i, i+8), (i, i+4), (i, i+2), (i, i+1).
/// Every operation is exactly rounded or integer, so all bodies give the same bits.
/// </summary>
/// <typeparam name="T">The implementing struct.</typeparam>
internal unsafe interface ILanes<T>
    where T : struct, ILanes<T>
{
    /// <summary>True when the unsigned-by-signed byte product accumulates straight into 32 bits (VNNI).</summary>
    static abstract bool HasByteDot { get; }

    static abstract T Zero { get; }

    static abstract T Load(float* p);

    static abstract T Load(int* p);

    static abstract T LoadBytes(byte* p);

    /// <summary>Sixteen unsigned 16-bit values, zero-extended.</summary>
    static abstract T LoadU16(ushort* p);

    /// <summary>Sixteen signed 16-bit values, sign-extended.</summary>
    static abstract T LoadI16(short* p);

    /// <summary>Sixteen unsigned bytes, zero-extended.</summary>
    static abstract T LoadU8(byte* p);

    /// <summary>Sixteen signed bytes, sign-extended.</summary>
    static abstract T LoadI8(sbyte* p);

    static abstract void Store(T a, float* p);

    static abstract void Store(T a, byte* p);

    /// <summary>Stores the lanes, each within -128..127, as sixteen signed bytes.</summary>
    static abstract void StoreI8(T a, sbyte* p);

    static abstract T Broadcast(float a);

    static abstract T Broadcast(int a);

    static abstract T Add(T a, T b);

    static abstract T Sub(T a, T b);

    static abstract T Mul(T a, T b);

    static abstract T Div(T a, T b);

    /// <summary>a·b + c, rounded once.</summary>
    static abstract T Fma(T a, T b, T c);

    /// <summary>The greater of each pair; the second where either is NaN.</summary>
    static abstract T Max(T a, T b);

    static abstract T Min(T a, T b);

    static abstract T Sqrt(T a);

    /// <summary>To the nearest integer, ties to even.</summary>
    static abstract T Round(T a);

    /// <summary>32-bit integers to float.</summary>
    static abstract T ToFloat(T a);

    /// <summary>Integral floats within range to 32-bit integers.</summary>
    static abstract T ToInt(T a);

    static abstract T AddInt(T a, T b);

    static abstract T And(T a, T b);

    static abstract T Or(T a, T b);

    static abstract T ShiftLeft(T a, int bits);

    static abstract T ShiftRight(T a, int bits);

    /// <summary>Adds neighbouring products of unsigned bytes of <paramref name="u"/> and signed bytes of <paramref name="s"/> to 16-bit sums (32 of them). The caller bounds the codes so that nothing saturates.</summary>
    static abstract T AddPairs(T sums16, T u, T s);

    /// <summary>Adds the 16-bit sums, two a lane and each times <paramref name="weight"/>, to 32-bit lanes.</summary>
    static abstract T AddSums(T sums32, T sums16, short weight);

    /// <summary>Adds the four products of each lane's unsigned and signed bytes to its 32-bit sum (VNNI bodies only).</summary>
    static abstract T AddQuads(T sums32, T u, T s);

    static abstract float Sum(T a);

    static abstract int SumInt(T a);

    static abstract float MaxAcross(T a);
}
