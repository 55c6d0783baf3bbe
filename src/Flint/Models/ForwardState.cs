using Flint.Formats;
using Flint.Kernels;

namespace Flint.Models;

/// <summary>
/// Everything the passes of one forward read and write, in one unmanaged block: sizes, buffers, the batch's rows and the current
/// layer's weights. All buffers belong to <see cref="Workspace"/>.
/// </summary>
internal unsafe struct ForwardState
{
    // The batch.
    public int Rows;
    public int* Tokens;
    public int* Positions;
    public int* RowSequences;
    public int* SourceRows; // the row each remaining row stood at, once rows without logits have been dropped

    /// <summary>Page ids of sequence s at <c>Pages + s·PageStride</c>.</summary>
    public int* Pages;

    public int PagesPerSequence;

    // Sizes.
    public int Width;
    public int Heads;
    public int KvHeads;
    public int HeadLength;
    public int ValueLength;
    public int Inner;
    public float Epsilon;
    public float PostEpsilon;

    // Embeddings.
    public WeightType EmbeddingType;
    public byte* EmbeddingData;
    public long EmbeddingRowBytes;
    public bool NormEmbedding;

    // Buffers, [row][...]: the residual stream, a block's output, and the projections.
    public float* Stream;
    public float* Block;
    public float* Query;
    public float* Key;
    public float* Value;
    public float* Gate;
    public float* Inner1;
    public float* Inner2;
    public float* Logits;

    /// <summary>What the next product reads; its passes fill it in place.</summary>
    public Activations Input;

    public bool Quantize;

    // Rotation.
    public double* RopeSteps;
    public int RopePairs;
    public float* CosSin;
    public RopePairing Pairing;
    public bool Rotate;

    // The layer.
    public float* QueryNorm;
    public float* KeyNorm;
    public float* PostNorm;
    public float* NextNorm;
    public byte* Keys;
    public byte* Values;
    public KvFormat KvFormat;
    public long KeyHeadBytes; // of a page
    public long ValueHeadBytes;
    public long PageStride;
    public int Window;
    public float AttentionScale;
    public float AttentionCap;

    // Attention's work list.
    public int Tiles;
    public int* TileRows; // row numbers, tile after tile
    public int* TileStarts; // of each tile in them, and their end
    public int NextItem;
    public float* Scratch;
    public long ScratchFloats;

    // The head.
    public int Vocabulary;
    public float LogitScale;
    public float LogitCap;
}
