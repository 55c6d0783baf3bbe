using Flint.Kernels;

namespace Flint.Models;

/// <summary>The passes of a layer of experts, as (state, part, parts), for one body of the kernels.</summary>
internal readonly unsafe struct ExpertPasses
{
    /// <summary>Each row's experts and their weights, from the router's logits.</summary>
    public delegate*<void*, int, int, void> Route { get; private init; }

    /// <summary>Rows of the input to their slots.</summary>
    public delegate*<void*, int, int, void> Gather { get; private init; }

    /// <summary>The products at hand, expert by expert.</summary>
    public delegate*<void*, int, int, void> Multiply { get; private init; }

    /// <summary>SwiGLU into the second products' input.</summary>
    public delegate*<void*, int, int, void> Activate { get; private init; }

    /// <summary>The weighted sum of each row's experts.</summary>
    public delegate*<void*, int, int, void> Combine { get; private init; }

    public static ExpertPasses For(LaneBody body) => body switch
    {
        LaneBody.Avx512 => Of<Lanes512>(),
        LaneBody.Avx2 => Of<Lanes256>(),
        _ => Of<LanesScalar>(),
    };

    private static ExpertPasses Of<TLanes>()
        where TLanes : struct, ILanes<TLanes> => new()
        {
            Route = &Bodies<TLanes>.Route,
            Gather = &Bodies<TLanes>.Gather,
            Multiply = &Bodies<TLanes>.Multiply,
            Activate = &Bodies<TLanes>.Activate,
            Combine = &Bodies<TLanes>.Combine,
        };

    private static class Bodies<TLanes>
        where TLanes : struct, ILanes<TLanes>
    {
        public static void Route(void* state, int part, int parts)
        {
            var s = (ExpertState*)state;
            Team.Split(s->Rows, 1, part, parts, out int from, out int to);
            for (int row = from; row < to; row++)
            {
                float* logits = s->Logits + (long)row * s->Experts;
                int* chosen = s->Chosen + (long)row * s->Used;
                Choose(logits, s->Experts, chosen, s->Used);
                Share(logits, chosen, s->Weights + (long)row * s->Used, s->Used);
            }
        }

        public static void Gather(void* state, int part, int parts)
        {
            var s = (ExpertState*)state;
            Team.Split(s->Rows, 1, part, parts, out int from, out int to);
            for (long at = (long)from * s->Used; at < (long)to * s->Used; at++)
            {
                int expert = s->Chosen[at], first = s->Starts[expert];
                Activations.CopyRow(s->Source, (int)(at / s->Used), s->Input.Part(first, s->Count(expert)), s->Slots[at] - first, s->CodedInput);
            }
        }

        public static void Multiply(void* state, int part, int parts)
        {
            var s = (ExpertState*)state;
            Activations input = s->Products == 2 ? s->Input : s->InnerInput;
            int pieces = Shares.PiecesOf(s->First.Groups, parts);
            var shares = new Shares(s->Taken, s->Busy * s->Products * pieces, part, parts);
            while (shares.Take(out int piece))
            {
                int expert = s->BusyExperts[piece / pieces / s->Products], first = s->Starts[expert];
                Product one = piece / pieces % s->Products == 0 ? s->First : s->Second;
                Shares.Piece(one.Groups, piece % pieces, pieces, out int from, out int to);
                Activations rows = input.Part(first, s->Count(expert));
                one.Data += expert * PackedMatrix.PackedBytes(one.Type, one.Rows, rows.Columns);
                one.Output += (long)first * one.OutputStride;
                Gemm.Groups(one, rows, s->Floats, s->Codes, from, to, s->Scratch + part * s->ScratchStride);
            }
        }

        public static void Activate(void* state, int part, int parts)
        {
            var s = (ExpertState*)state;
            Team.Split(s->Rows * s->Used, 1, part, parts, out int from, out int to);
            for (int slot = from; slot < to; slot++)
                Elementwise.SwiGlu<TLanes>(s->InnerInput.Values + (long)slot * s->Inner, s->Up + (long)slot * s->Inner, s->Inner);
            if (!s->CodedInner) return;
            for (int expert = 0; expert < s->Experts; expert++)
            {
                int first = s->Starts[expert], begin = Math.Max(from, first), end = Math.Min(to, s->Starts[expert + 1]);
                if (begin < end) Activations.Quantize<TLanes>(s->InnerInput.Part(first, s->Count(expert)), begin - first, end - first);
            }
        }

        public static void Combine(void* state, int part, int parts)
        {
            var s = (ExpertState*)state;
            Team.Split(s->Rows, 1, part, parts, out int from, out int to);
            for (int row = from; row < to; row++)
            {
                float* block = s->Block + (long)row * s->Width, weights = s->Weights + (long)row * s->Used;
                int* slots = s->Slots + (long)row * s->Used;
                for (int i = 0; i < s->Width; i += 16)
                {
                    TLanes sum = TLanes.Zero;
                    for (int rank = 0; rank < s->Used; rank++)
                        sum = TLanes.Fma(TLanes.Broadcast(weights[rank]), TLanes.Load(s->Output + (long)slots[rank] * s->Width + i), sum);
                    TLanes.Store(sum, block + i);
                }
            }
        }

        /// <summary>The experts of the highest logits, highest first; of equal ones the lower.</summary>
        private static void Choose(float* logits, int experts, int* chosen, int used)
        {
            for (int expert = 0, count = 0; expert < experts; expert++)
            {
                int at = count;
                while (at > 0 && logits[expert] > logits[chosen[at - 1]]) at--;
                if (at == used) continue;
                if (count < used) count++;
                for (int i = count - 1; i > at; i--) chosen[i] = chosen[i - 1];
                chosen[at] = expert;
            }
        }

        /// <summary>The softmax over all experts, shared out anew among the chosen: e^(logit − highest) over its sum.</summary>
        private static void Share(float* logits, int* chosen, float* weights, int used)
        {
            float* lanes = stackalloc float[16];
            float highest = logits[chosen[0]], sum = 0;
            for (int from = 0; from < used; from += 16)
            {
                int count = Math.Min(16, used - from);
                for (int i = 0; i < 16; i++) lanes[i] = i < count ? logits[chosen[from + i]] - highest : 0;
                TLanes.Store(Elementwise.Exp(TLanes.Load(lanes)), lanes);
                for (int i = 0; i < count; i++) sum += weights[from + i] = lanes[i];
            }

            for (int i = 0; i < used; i++) weights[i] /= sum;
        }
    }
}
