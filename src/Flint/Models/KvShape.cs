using Flint.Kernels;

namespace Flint.Models;

/// <summary>What one token's keys and values measure, summed over a model: enough to lay out a page.</summary>
/// <param name="Layers">Attention layers that keep keys and values.</param>
/// <param name="KvHeads">Key/value heads of each layer.</param>
/// <param name="HeadLength">Numbers of one key.</param>
/// <param name="ValueLength">Numbers of one value.</param>
/// <param name="Format">How they are kept.</param>
public readonly record struct KvShape(int Layers, int KvHeads, int HeadLength, int ValueLength, KvFormat Format = KvFormat.F32);
