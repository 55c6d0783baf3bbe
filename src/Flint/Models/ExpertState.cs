using Flint.Kernels;

namespace Flint.Models;

/// <summary>
/// What the passes of a layer of experts read and write. A slot is one row's way through one expert; slots are sorted by expert,
/// so that the rows of an expert stand together.
/// </summary>
internal unsafe struct ExpertState
{
    public int Rows;
    public int Experts;
    public int Used;
    public int Width;
    public int Inner;

    /// <summary>The router's logits: [row][expert].</summary>
    public float* Logits;

    /// <summary>The experts of a row, the likeliest first: [row][rank].</summary>
    public int* Chosen;

    /// <summary>Their weights, which sum to 1: [row][rank].</summary>
    public float* Weights;

    /// <summary>Their slots: [row][rank].</summary>
    public int* Slots;

    /// <summary>Each expert's first slot; one entry more than there are experts.</summary>
    public int* Starts;

    /// <summary>The experts that rows have chosen, in order, and how many they are.</summary>
    public int* BusyExperts;

    public int Busy;

    /// <summary>What the layer reads: [row][width].</summary>
    public Activations Source;

    /// <summary>The same by slots.</summary>
    public Activations Input;

    /// <summary>What the second products read: [slot][inner]. Its values are the gates' outputs, in place.</summary>
    public Activations InnerInput;

    /// <summary>Outputs of the second matrices of the first products: [slot][inner].</summary>
    public float* Up;

    /// <summary>The experts' outputs: [slot][width].</summary>
    public float* Output;

    /// <summary>The block's output: [row][width].</summary>
    public float* Block;

    /// <summary>Whether the first and the second products read codes.</summary>
    public bool CodedInput;

    public bool CodedInner;

    // The products at hand: of the first two matrices, or of the third alone.
    public Product First;
    public Product Second;
    public int Products;
    public LaneBody Floats;
    public LaneBody Codes;
    public byte* Scratch;
    public long ScratchStride;
    public int* Taken;

    public readonly int Count(int expert) => Starts[expert + 1] - Starts[expert];
}
