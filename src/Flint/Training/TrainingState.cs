using Flint.Formats;
using Flint.Kernels;

namespace Flint.Training;

/// <summary>What the bodies of a training pass read: sizes, and pointers to the rows they work on. Strides are in floats.</summary>
internal unsafe struct TrainingState
{
    public int Rows;
    public int Width;
    public int Heads;
    public int KvHeads;
    public int HeadLength;
    public int ValueLength;
    public int Inner;

    /// <summary>Queries, keys, values and gates of a row, side by side.</summary>
    public int InputStride;

    public float Epsilon;
    public float PostEpsilon;
    public bool NormEmbedding;
    public bool Rotate;
    public RopePairing Pairing;
    public int RopePairs;

    /// <summary>cos and sin of each pair at each position: [position][pair][2].</summary>
    public float* CosSin;

    public int* Tokens;
    public int* Positions;

    // Embedding: values in memory, or rows of a file.
    public float* Embedding;
    public WeightType EmbeddingType;
    public byte* EmbeddingData;
    public long EmbeddingRowBytes;

    // The operands of the pass that runs; what each means is said where it is set.
    public float* X;
    public float* Y;
    public float* Z;
    public float* Out;
    public float* Norm;
    public float* KeyNorm;
    public float* Roots;
    public float* KeyRoots;
    public float* Query;
    public float* Key;
    public float* QueryGradient;
    public float* KeyGradient;
    public float* Inputs;
    public float* InputGradient;
    public long XStride;
    public long YStride;
    public int Columns;

    // Attention.
    public int* Starts;
    public int* Lengths;
    public int Documents;
    public float* AttentionOut;
    public float* AttentionGradient;
    public float* LogSums;
    public int Window;
    public float AttentionScale;
    public float AttentionCap;
    public float* AttentionScratch;
    public long AttentionScratchFloats;
    public int NextItem;

    // Loss.
    public int* Targets;
    public float* Weights;
    public double* Losses;
    public int Vocabulary;
    public float LogitScale;
    public float LogitCap;
    public float LossScale;
}
