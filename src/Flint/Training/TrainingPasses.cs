using Flint.Formats;
using Flint.Kernels;

namespace Flint.Training;

/// <summary>The passes between the products of a training step, as (state, part, parts), for one body of the kernels.</summary>
internal readonly unsafe struct TrainingPasses
{
    /// <summary>Out = embeddings of the tokens.</summary>
    public delegate*<void*, int, int, void> Embed { get; private init; }

    /// <summary>Out = norm(X) ⊙ Norm.</summary>
    public delegate*<void*, int, int, void> RmsNorm { get; private init; }

    /// <summary>Query, Key = heads of Inputs, normed and turned.</summary>
    public delegate*<void*, int, int, void> TurnHeads { get; private init; }

    public delegate*<void*, int, int, void> Attend { get; private init; }

    /// <summary>Out = X ⊙ σ(gate of Inputs).</summary>
    public delegate*<void*, int, int, void> Gate { get; private init; }

    /// <summary>Out = X + Y, Y normed first where Norm is given.</summary>
    public delegate*<void*, int, int, void> Join { get; private init; }

    /// <summary>Out = SwiGLU of the halves of X.</summary>
    public delegate*<void*, int, int, void> Activate { get; private init; }

    /// <summary>Losses of rows of logits Y, which become gradients.</summary>
    public delegate*<void*, int, int, void> Loss { get; private init; }

    /// <summary>Y becomes Out = the gradient through norm(X) ⊙ Norm, roots kept; added to Out where Z is set.</summary>
    public delegate*<void*, int, int, void> NormBack { get; private init; }

    /// <summary>Norm's gradient (Out) += over rows, columns shared among the threads.</summary>
    public delegate*<void*, int, int, void> NormWeights { get; private init; }

    /// <summary>The halves of X become gradients; Out = what SwiGLU gave; Y is its gradient.</summary>
    public delegate*<void*, int, int, void> ActivateBack { get; private init; }

    /// <summary>X = attention's output, Y = gradient of the gated; Out = gradient of X, the gates' gradient into InputGradient.</summary>
    public delegate*<void*, int, int, void> GateBack { get; private init; }

    public delegate*<void*, int, int, void> AttendBack { get; private init; }

    /// <summary>QueryGradient, KeyGradient turned back (kept so, for the norms) and through the head norms into InputGradient.</summary>
    public delegate*<void*, int, int, void> TurnBack { get; private init; }

    /// <summary>Rows of Y added to the rows Tokens of Out, columns shared among the threads.</summary>
    public delegate*<void*, int, int, void> ScatterRows { get; private init; }

    public static TrainingPasses For(LaneBody body) => body switch
    {
        LaneBody.Avx512 => Of<Lanes512>(),
        LaneBody.Avx2 => Of<Lanes256>(),
        _ => Of<LanesScalar>(),
    };

    private static TrainingPasses Of<TLanes>()
        where TLanes : struct, ILanes<TLanes> => new()
        {
            Embed = &Bodies<TLanes>.Embed,
            RmsNorm = &Bodies<TLanes>.RmsNorm,
            TurnHeads = &Bodies<TLanes>.TurnHeads,
            Attend = &Bodies<TLanes>.Attend,
            Gate = &Bodies<TLanes>.Gate,
            Join = &Bodies<TLanes>.Join,
            Activate = &Bodies<TLanes>.Activate,
            Loss = &Bodies<TLanes>.Loss,
            NormBack = &Bodies<TLanes>.NormBack,
            NormWeights = &Bodies<TLanes>.NormWeights,
            ActivateBack = &Bodies<TLanes>.ActivateBack,
            GateBack = &Bodies<TLanes>.GateBack,
            AttendBack = &Bodies<TLanes>.AttendBack,
            TurnBack = &Bodies<TLanes>.TurnBack,
            ScatterRows = &Bodies<TLanes>.ScatterRows,
        };

    private static class Bodies<TLanes>
        where TLanes : struct, ILanes<TLanes>
    {
        public static void Embed(void* state, int part, int parts)
        {
            var s = (TrainingState*)state;
            Team.Split(s->Rows, 1, part, parts, out int from, out int to);
            for (int row = from; row < to; row++)
            {
                float* x = s->Out + (long)row * s->Width;
                int token = s->Tokens[row];
                if (s->Embedding != null) Copy(s->Embedding + (long)token * s->Width, x, s->Width);
                else WeightTypes.DecodeRow(s->EmbeddingType, s->EmbeddingData + token * s->EmbeddingRowBytes, x, s->Width);
            }
        }

        public static void RmsNorm(void* state, int part, int parts)
        {
            var s = (TrainingState*)state;
            Team.Split(s->Rows, 1, part, parts, out int from, out int to);
            for (int row = from; row < to; row++)
                Elementwise.RmsNorm<TLanes>(s->X + (long)row * s->Width, s->Norm, s->Out + (long)row * s->Width, s->Width, s->Epsilon);
        }

        public static void TurnHeads(void* state, int part, int parts)
        {
            var s = (TrainingState*)state;
            Team.Split(s->Rows, 1, part, parts, out int from, out int to);
            int queries = s->Heads * s->HeadLength, keys = s->KvHeads * s->HeadLength;
            for (int row = from; row < to; row++)
            {
                float* inputs = s->Inputs + (long)row * s->InputStride;
                float* cosSin = s->CosSin + (long)s->Positions[row] * 2 * s->RopePairs;
                TurnRow(s, inputs, s->Query + (long)row * queries, s->Heads, s->Norm, cosSin);
                TurnRow(s, inputs + queries, s->Key + (long)row * keys, s->KvHeads, s->KeyNorm, cosSin);
            }
        }

        public static void Attend(void* state, int part, int parts)
        {
            var s = (TrainingState*)state;
            while (TryTake(s, out TrainingAttentionItem item))
                TrainingAttention.Forward<TLanes>(item, s->AttentionScratch + part * s->AttentionScratchFloats);
        }

        public static void AttendBack(void* state, int part, int parts)
        {
            var s = (TrainingState*)state;
            while (TryTake(s, out TrainingAttentionItem item))
                TrainingAttention.Backward<TLanes>(item, s->AttentionScratch + part * s->AttentionScratchFloats);
        }

        public static void Gate(void* state, int part, int parts)
        {
            var s = (TrainingState*)state;
            Team.Split(s->Rows, 1, part, parts, out int from, out int to);
            int outputs = s->Heads * s->ValueLength;
            for (int row = from; row < to; row++)
            {
                float* y = s->Out + (long)row * outputs;
                Copy(s->X + (long)row * outputs, y, outputs);
                Elementwise.SigmoidGate<TLanes>(y, s->Inputs + (long)(row + 1) * s->InputStride - outputs, outputs);
            }
        }

        public static void Join(void* state, int part, int parts)
        {
            var s = (TrainingState*)state;
            Team.Split(s->Rows, 1, part, parts, out int from, out int to);
            for (int row = from; row < to; row++)
            {
                long at = (long)row * s->Width;
                if (s->Norm != null) Elementwise.RmsNorm<TLanes>(s->Y + at, s->Norm, s->Out + at, s->Width, s->PostEpsilon);
                else Copy(s->Y + at, s->Out + at, s->Width);
                Elementwise.Add<TLanes>(s->Out + at, s->X + at, s->Width);
            }
        }

        public static void Activate(void* state, int part, int parts)
        {
            var s = (TrainingState*)state;
            Team.Split(s->Rows, 1, part, parts, out int from, out int to);
            for (int row = from; row < to; row++)
            {
                float* halves = s->X + (long)row * 2 * s->Inner, y = s->Out + (long)row * s->Inner;
                Copy(halves, y, s->Inner);
                Elementwise.SwiGlu<TLanes>(y, halves + s->Inner, s->Inner);
            }
        }

        public static void Loss(void* state, int part, int parts)
        {
            var s = (TrainingState*)state;
            Team.Split(s->Rows, 1, part, parts, out int from, out int to);
            for (int row = from; row < to; row++)
            {
                float* z = s->Y + (long)row * s->Vocabulary;
                Elementwise.ScaleAndCap<TLanes>(z, s->Vocabulary, s->LogitScale, s->LogitCap);
                s->Losses[row] = s->Weights[row] *
                    Gradients.CrossEntropy<TLanes>(z, s->Vocabulary, s->Targets[row], s->Weights[row] * s->LossScale, s->LogitScale, s->LogitCap);
            }
        }

        public static void NormBack(void* state, int part, int parts)
        {
            var s = (TrainingState*)state;
            Team.Split(s->Rows, 1, part, parts, out int from, out int to);
            for (int row = from; row < to; row++)
            {
                long at = (long)row * s->Width;
                s->Roots[row] = Gradients.RmsNorm<TLanes>(s->X + at, s->Norm, s->Y + at, s->Out + at, s->Width, s->Epsilon, s->Z != null);
            }
        }

        public static void NormWeights(void* state, int part, int parts)
        {
            var s = (TrainingState*)state;
            Team.Split(s->Columns, 16, part, parts, out int from, out int to);
            Gradients.NormWeights<TLanes>(s->X, s->XStride, s->Y, s->YStride, s->Roots, s->Rows, s->Out, from, to);
        }

        public static void ActivateBack(void* state, int part, int parts)
        {
            var s = (TrainingState*)state;
            Team.Split(s->Rows, 1, part, parts, out int from, out int to);
            for (int row = from; row < to; row++)
            {
                float* halves = s->X + (long)row * 2 * s->Inner;
                Gradients.SwiGlu<TLanes>(halves, halves + s->Inner, s->Y + (long)row * s->Inner, s->Out + (long)row * s->Inner, s->Inner);
            }
        }

        public static void GateBack(void* state, int part, int parts)
        {
            var s = (TrainingState*)state;
            Team.Split(s->Rows, 1, part, parts, out int from, out int to);
            int outputs = s->Heads * s->ValueLength;
            for (int row = from; row < to; row++)
            {
                long at = (long)row * outputs, gate = (long)(row + 1) * s->InputStride - outputs;
                Gradients.SigmoidGate<TLanes>(s->X + at, s->Inputs + gate, s->Y + at, s->Out + at, s->InputGradient + gate, outputs);
            }
        }

        public static void TurnBack(void* state, int part, int parts)
        {
            var s = (TrainingState*)state;
            Team.Split(s->Rows, 1, part, parts, out int from, out int to);
            int queries = s->Heads * s->HeadLength, keys = s->KvHeads * s->HeadLength;
            for (int row = from; row < to; row++)
            {
                long at = (long)row * s->InputStride;
                float* cosSin = s->CosSin + (long)s->Positions[row] * 2 * s->RopePairs;
                TurnRowBack(s, row, s->Inputs + at, s->QueryGradient + (long)row * queries, s->InputGradient + at, s->Heads, s->Norm, s->Roots, cosSin);
                TurnRowBack(s, row, s->Inputs + at + queries, s->KeyGradient + (long)row * keys, s->InputGradient + at + queries, s->KvHeads, s->KeyNorm, s->KeyRoots, cosSin);
            }
        }

        public static void ScatterRows(void* state, int part, int parts)
        {
            var s = (TrainingState*)state;
            Team.Split(s->Width, 16, part, parts, out int from, out int to);
            if (from >= to) return;
            for (int row = 0; row < s->Rows; row++)
                Elementwise.Add<TLanes>(s->Out + (long)s->Tokens[row] * s->Width + from, s->Y + (long)row * s->Width + from, to - from);
        }

        private static void TurnRow(TrainingState* s, float* raw, float* heads, int count, float* norm, float* cosSin)
        {
            for (int h = 0; h < count; h++, raw += s->HeadLength, heads += s->HeadLength)
            {
                if (norm != null) Elementwise.RmsNorm<TLanes>(raw, norm, heads, s->HeadLength, s->Epsilon);
                else Copy(raw, heads, s->HeadLength);
                if (s->Rotate) Rope.Apply(heads, s->RopePairs, cosSin, s->Pairing);
            }
        }

        private static void TurnRowBack(TrainingState* s, int row, float* raw, float* gradient, float* into, int count, float* norm, float* roots, float* cosSin)
        {
            for (int h = 0; h < count; h++, raw += s->HeadLength, gradient += s->HeadLength, into += s->HeadLength)
            {
                if (s->Rotate) Rope.ApplyBack(gradient, s->RopePairs, cosSin, s->Pairing);
                if (norm != null)
                    roots[(long)h * s->Rows + row] = Gradients.RmsNorm<TLanes>(raw, norm, gradient, into, s->HeadLength, s->Epsilon, accumulate: false);
                else Copy(gradient, into, s->HeadLength);
            }
        }

        // The longest documents first would balance best; the order of the batch is good enough and needs no sorting.
        private static bool TryTake(TrainingState* s, out TrainingAttentionItem item)
        {
            item = default;
            int taken = Interlocked.Increment(ref s->NextItem) - 1;
            if (taken >= s->Documents * s->KvHeads) return false;
            int document = taken / s->KvHeads, head = taken % s->KvHeads, group = s->Heads / s->KvHeads;
            long row = s->Starts[document];
            long queries = s->Heads * s->HeadLength, keys = s->KvHeads * s->HeadLength, outputs = s->Heads * s->ValueLength;
            long query = row * queries + head * group * s->HeadLength, key = row * keys + head * s->HeadLength;
            long value = row * s->InputStride + queries + keys + head * s->ValueLength, output = row * outputs + head * group * s->ValueLength;
            item = new TrainingAttentionItem
            {
                Queries = s->Query + query,
                QueryStride = queries,
                Keys = s->Key + key,
                KeyStride = keys,
                Values = s->Inputs + value,
                ValueStride = s->InputStride,
                Outputs = s->AttentionOut + output,
                OutputStride = outputs,
                LogSums = s->LogSums + row * s->Heads + head * group,
                LogSumStride = s->Heads,
                OutputGradient = s->AttentionGradient + output,
                QueryGradient = s->QueryGradient + query,
                KeyGradient = s->KeyGradient + key,
                ValueGradient = s->InputGradient + value,
                Tokens = s->Lengths[document],
                Group = group,
                HeadLength = s->HeadLength,
                ValueLength = s->ValueLength,
                Window = s->Window,
                Scale = s->AttentionScale,
                Cap = s->AttentionCap,
            };
            return true;
        }

        private static void Copy(float* from, float* to, int n) => new ReadOnlySpan<float>(from, n).CopyTo(new Span<float>(to, n));
    }
}
