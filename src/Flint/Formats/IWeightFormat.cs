namespace Flint.Formats;

/// <summary>A weight format as a type parameter: generic code over it is compiled once per format with nothing left of the abstraction.</summary>
public unsafe interface IWeightFormat
{
    /// <summary>The format's id.</summary>
    static abstract WeightType Type { get; }

    /// <summary>Elements per block; the length of a row is a multiple of it.</summary>
    static abstract int BlockLength { get; }

    /// <summary>Bytes per block.</summary>
    static abstract int BlockBytes { get; }

    /// <summary>Decodes one block of <see cref="BlockBytes"/> at <paramref name="block"/> into <see cref="BlockLength"/> floats.</summary>
    static abstract void Decode(byte* block, float* dst);

    /// <summary>
    /// Encodes <see cref="BlockLength"/> finite floats at <paramref name="src"/>, none beyond <see cref="WeightTypes.Largest"/>, into
    /// the block of <see cref="BlockBytes"/> that decodes to nearly them.
    /// </summary>
    static abstract void Encode(float* src, byte* block);
}
