using Flint.Formats;
using Flint.Kernels;

namespace Flint.Models;

/// <summary>The passes between the matrix products, as (state, part, parts), for one body of the kernels.</summary>
internal readonly unsafe struct ForwardPasses
{
    /// <summary>Token embeddings into the stream, rotary angles, and the first norm.</summary>
    public delegate*<void*, int, int, void> Embed { get; private init; }

    /// <summary>Head norms, rotation, and keys and values into their pages.</summary>
    public delegate*<void*, int, int, void> Rotate { get; private init; }

    /// <summary>Attention into the next product's input.</summary>
    public delegate*<void*, int, int, void> Attend { get; private init; }

    /// <summary>The output gate, where there is one, and quantization.</summary>
    public delegate*<void*, int, int, void> GateOutput { get; private init; }

    /// <summary>A block's output joins the stream; the next norm follows.</summary>
    public delegate*<void*, int, int, void> Join { get; private init; }

    /// <summary>SwiGLU into the next product's input.</summary>
    public delegate*<void*, int, int, void> Activate { get; private init; }

    /// <summary>Logit scale and soft-cap.</summary>
    public delegate*<void*, int, int, void> Cap { get; private init; }

    public static ForwardPasses For(LaneBody body) => body switch
    {
        LaneBody.Avx512 => Of<Lanes512>(),
        LaneBody.Avx2 => Of<Lanes256>(),
        _ => Of<LanesScalar>(),
    };

    private static ForwardPasses Of<TLanes>()
        where TLanes : struct, ILanes<TLanes> => new()
        {
            Embed = &Bodies<TLanes>.Embed,
            Rotate = &Bodies<TLanes>.Rotate,
            Attend = &Bodies<TLanes>.Attend,
            GateOutput = &Bodies<TLanes>.GateOutput,
            Join = &Bodies<TLanes>.Join,
            Activate = &Bodies<TLanes>.Activate,
            Cap = &Bodies<TLanes>.Cap,
        };

    private static class Bodies<TLanes>
        where TLanes : struct, ILanes<TLanes>
    {
        public static void Embed(void* state, int part, int parts)
        {
            var s = (ForwardState*)state;
            Team.Split(s->Rows, 1, part, parts, out int from, out int to);
            for (int row = from; row < to; row++)
            {
                float* x = s->Stream + (long)row * s->Width;
                WeightTypes.DecodeRow(s->EmbeddingType, s->EmbeddingData + s->Tokens[row] * s->EmbeddingRowBytes, x, s->Width);
                if (s->NormEmbedding) Elementwise.RmsNorm<TLanes>(x, null, x, s->Width, s->Epsilon);
                Rope.Angles(s->RopeSteps, s->RopePairs, s->Positions[row], s->CosSin + (long)row * 2 * s->RopePairs);
                Elementwise.RmsNorm<TLanes>(x, s->NextNorm, s->Input.Values + (long)row * s->Input.Stride, s->Width, s->Epsilon);
            }

            QuantizeRows(s, from, to);
        }

        public static void Rotate(void* state, int part, int parts)
        {
            var s = (ForwardState*)state;
            Team.Split(s->Rows, 1, part, parts, out int from, out int to);
            for (int row = from; row < to; row++)
            {
                float* cosSin = s->CosSin + (long)row * 2 * s->RopePairs;
                float* q = s->Query + (long)row * s->Heads * s->HeadLength;
                for (int h = 0; h < s->Heads; h++, q += s->HeadLength) RotateHead(s, q, s->QueryNorm, cosSin);

                int position = s->Positions[row];
                int page = s->Pages[s->RowSequences[row] * s->PagesPerSequence + position / Attention.PageTokens];
                int slot = position % Attention.PageTokens;
                float* k = s->Key + (long)row * s->KvHeads * s->HeadLength;
                float* v = s->Value + (long)row * s->KvHeads * s->ValueLength;
                byte* keys = s->Keys + page * s->PageStride, values = s->Values + page * s->PageStride;
                for (int h = 0; h < s->KvHeads; h++)
                {
                    RotateHead(s, k, s->KeyNorm, cosSin);
                    KvPages.PutKey(s->KvFormat, k, s->HeadLength, keys, slot);
                    KvPages.PutValue(s->KvFormat, v, s->ValueLength, values, slot);
                    k += s->HeadLength;
                    v += s->ValueLength;
                    keys += s->KeyHeadBytes;
                    values += s->ValueHeadBytes;
                }
            }
        }

        public static void Attend(void* state, int part, int parts)
        {
            var s = (ForwardState*)state;
            float* scratch = s->Scratch + part * s->ScratchFloats;
            int group = s->Heads / s->KvHeads;
            int items = s->Tiles * s->KvHeads;
            int taken;
            // The last tiles of a prompt are the longest, so they are taken first.
            while ((taken = Interlocked.Increment(ref s->NextItem) - 1) < items)
            {
                int tile = s->Tiles - 1 - taken / s->KvHeads, head = taken % s->KvHeads;
                var item = new AttentionItem
                {
                    Rows = s->TileRows + s->TileStarts[tile],
                    RowCount = s->TileStarts[tile + 1] - s->TileStarts[tile],
                    Positions = s->Positions,
                    RowSequences = s->RowSequences,
                    Pages = s->Pages,
                    PagesPerSequence = s->PagesPerSequence,
                    Format = s->KvFormat,
                    Keys = s->Keys + head * s->KeyHeadBytes,
                    Values = s->Values + head * s->ValueHeadBytes,
                    PageStride = s->PageStride,
                    QueryStride = s->Heads * s->HeadLength,
                    OutputStride = s->Input.Stride,
                    Queries = s->Query + (long)head * group * s->HeadLength,
                    Outputs = s->Input.Values + head * group * s->ValueLength,
                    Group = group,
                    HeadLength = s->HeadLength,
                    ValueLength = s->ValueLength,
                    Window = s->Window,
                    Scale = s->AttentionScale,
                    Cap = s->AttentionCap,
                };
                Attention.Run<TLanes>(item, scratch);
            }
        }

        public static void GateOutput(void* state, int part, int parts)
        {
            var s = (ForwardState*)state;
            Team.Split(s->Rows, 1, part, parts, out int from, out int to);
            if (s->Gate != null)
            {
                for (int row = from; row < to; row++)
                    Elementwise.SigmoidGate<TLanes>(s->Input.Values + (long)row * s->Input.Stride, s->Gate + (long)row * s->Input.Columns, s->Input.Columns);
            }

            QuantizeRows(s, from, to);
        }

        public static void Join(void* state, int part, int parts)
        {
            var s = (ForwardState*)state;
            Team.Split(s->Rows, 1, part, parts, out int from, out int to);
            for (int row = from; row < to; row++)
            {
                float* x = s->Stream + (long)row * s->Width;
                float* block = s->Block + (long)row * s->Width;
                if (s->PostNorm != null) Elementwise.RmsNorm<TLanes>(block, s->PostNorm, block, s->Width, s->PostEpsilon);
                Elementwise.Add<TLanes>(x, block, s->Width);
                Elementwise.RmsNorm<TLanes>(x, s->NextNorm, s->Input.Values + (long)row * s->Input.Stride, s->Width, s->Epsilon);
            }

            QuantizeRows(s, from, to);
        }

        public static void Activate(void* state, int part, int parts)
        {
            var s = (ForwardState*)state;
            Team.Split(s->Rows, 1, part, parts, out int from, out int to);
            for (int row = from; row < to; row++)
                Elementwise.SwiGlu<TLanes>(s->Inner1 + (long)row * s->Inner, s->Inner2 + (long)row * s->Inner, s->Inner);
            QuantizeRows(s, from, to);
        }

        public static void Cap(void* state, int part, int parts)
        {
            var s = (ForwardState*)state;
            Team.Split(s->Rows * 16, 1, part, parts, out int from, out int to); // sixteenths of rows, so that one row is shared too
            for (int piece = from; piece < to; piece++)
            {
                Team.Split(s->Vocabulary, 16, piece % 16, 16, out int first, out int end);
                if (first < end)
                    Elementwise.ScaleAndCap<TLanes>(s->Logits + (long)(piece / 16) * s->Vocabulary + first, end - first, s->LogitScale, s->LogitCap);
            }
        }

        private static void RotateHead(ForwardState* s, float* head, float* norm, float* cosSin)
        {
            if (norm != null) Elementwise.RmsNorm<TLanes>(head, norm, head, s->HeadLength, s->Epsilon);
            if (s->Rotate) Rope.Apply(head, s->RopePairs, cosSin, s->Pairing);
        }

        private static void QuantizeRows(ForwardState* s, int from, int to)
        {
            // The last norm has rows behind those of the head's product, which no product reads.
            if (s->Quantize) Activations.Quantize<TLanes>(s->Input, from, Math.Min(to, s->Input.Rows));
        }
    }
}
