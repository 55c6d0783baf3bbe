using Flint.Kernels;
using Flint.Weights;

namespace Flint.Models;

/// <summary>
/// A decoder with its weights: tokens of any mix of sequences in, logits out. Not thread-safe; one owner calls it.
/// </summary>
public sealed unsafe class Model : IDisposable
{
    private const int RowsWorthATeam = 4;

    private readonly Team _team;
    private readonly ModelWeights _weights;
    private readonly Workspace _workspace;
    private readonly ForwardPasses _passes;
    private readonly AdapterPass _adapters;
    private readonly ExpertBlock? _experts;
    private readonly LaneBody _floats;
    private readonly LaneBody _codes;
    private int _logitRows;
    private int _hiddenRows;

    private readonly PackedCopy? _copy;

    private Model(GgufFile file, ModelConfig config, ModelOptions options, Team team, ModelWeights weights, PackedCopy? copy)
    {
        _copy = copy;
        File = file;
        Config = config;
        Options = options;
        _team = team;
        _weights = weights;
        _workspace = new Workspace(config, options, team.Count);
        _floats = Isa.Floats;
        _codes = Isa.Codes;
        _passes = ForwardPasses.For(_floats);
        _adapters = new AdapterPass(options.MaxSequences);
        if (config.Experts > 0) _experts = new ExpertBlock(config, options.MaxBatchRows, team, _floats, RowsWorthATeam);
        Prepare();
    }

    /// <summary>The model's shape.</summary>
    public ModelConfig Config { get; }

    /// <summary>What it was loaded for.</summary>
    public ModelOptions Options { get; }

    /// <summary>The file it came from; stays open, since token embeddings are read from it.</summary>
    public GgufFile File { get; }

    /// <summary>Whether the weights are those of a <see cref="PackedCopy"/>.</summary>
    public bool HasPackedCopy => _copy is not null;

    /// <summary>Why a packed copy that is there is not used; null where there is none, or it is used.</summary>
    public string? PackedCopyFault { get; private init; }

    /// <summary>Threads that compute.</summary>
    public int Threads => _team.Count;

    /// <summary>Bytes of the packed weights.</summary>
    public long WeightBytes => _weights.Bytes;

    /// <summary>Bytes of the forward pass's buffers.</summary>
    public long WorkspaceBytes => _workspace.TotalBytes + (_experts?.Bytes ?? 0);

    /// <summary>The instruction sets that the kernels run on.</summary>
    public static string InstructionSets => Isa.Description;

    /// <summary>Opens a GGUF file and loads its model.</summary>
    /// <exception cref="FlintException">The file is damaged or not supported (model file), or memory is short (machine).</exception>
    public static Model Load(string path, ModelOptions options)
    {
        GgufFile file = GgufFile.Open(path);
        try
        {
            return Load(file, options);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Loads the model of an open file, which belongs to the model from then on.</summary>
    public static Model Load(GgufFile file, ModelOptions options)
    {
        Check(options);
        ModelConfig config = Family.Configure(file);
        int context = options.ContextLength == 0 ? config.TrainedContextLength : options.ContextLength;
        config = config with { ContextLength = context, KvFormat = options.KvFormat ?? config.UsualKvFormat };
        var team = new Team(options.Threads);
        ModelWeights? weights = null;
        PackedCopy? copy = PackedCopy.Find(file, out string? passedOver);
        try
        {
            weights = ModelWeights.Load(file, config, team, copy);
            return new Model(file, config, options, team, weights, copy) { PackedCopyFault = passedOver };
        }
        catch
        {
            weights?.Dispose();
            copy?.Dispose();
            team.Dispose();
            throw;
        }
    }

    /// <summary>Loads a low-rank adapter, which sequences of a batch may name from then on. Not while a batch is computed.</summary>
    /// <exception cref="FlintException">Model file: it does not fit this model. Machine: memory is short.</exception>
    public ModelAdapter LoadAdapter(LoraAdapter adapter)
    {
        adapter.CheckFits(File, "adapter");
        var loaded = new ModelAdapter(this, adapter, _team);
        _adapters.Add(loaded, Options.MaxBatchRows);
        return loaded;
    }

    /// <summary>
    /// Computes a batch: stores every row's keys and values in its sequence's pages (reserved beforehand), advances the sequences,
    /// and leaves the logits of the rows that want them for <see cref="Logits"/>, the hidden states of those that want these for
    /// <see cref="Hidden"/>. A row's results have the same bits whatever else is in the batch.
    /// </summary>
    public void Forward(Batch batch)
    {
        ForwardState* s = _workspace.State;
        _logitRows = 0;
        _hiddenRows = 0;
        if (batch.Rows == 0) return;
        Begin(batch, s);
        SetInput(s, _workspace.Input, Config.EmbeddingLength, AnyCoded(_weights.Layers[0]));
        s->NextNorm = _weights.Layers[0].AttentionNorm;
        Pass(_passes.Embed, s);
        for (int l = 0; l < _weights.Layers.Length; l++)
        {
            AttentionBlock(batch, s, l);
            if (s->Rows > 0) FeedForwardBlock(batch, s, l);
        }

        if (batch.LogitRows > 0) Head(batch, s);
        _logitRows = batch.LogitRows;
        _hiddenRows = batch.HiddenRows;
        for (int i = 0; i < batch.Sequences; i++) batch.State(i).Advance(batch.RowCount(i));
    }

    /// <summary>The logits of a row of the last batch, by its place among the rows that wanted them: VocabularySize floats, valid until the next forward.</summary>
    public ReadOnlySpan<float> Logits(int logitRow)
    {
        if ((uint)logitRow >= (uint)_logitRows)
            throw new FlintException(FaultSide.Bug, "logit_row", $"The last batch has {_logitRows} rows of logits; row {logitRow} was asked for.");
        return new ReadOnlySpan<float>(_workspace.Logits + (long)logitRow * Config.VocabularySize, Config.VocabularySize);
    }

    /// <summary>
    /// The final hidden state of a row of the last batch, by its place among the rows that wanted it: the residual stream behind the
    /// last norm, which is what the head reads. EmbeddingLength floats, valid until the next forward.
    /// </summary>
    public ReadOnlySpan<float> Hidden(int hiddenRow)
    {
        if ((uint)hiddenRow >= (uint)_hiddenRows)
            throw new FlintException(FaultSide.Bug, "hidden_row", $"The last batch has {_hiddenRows} rows of hidden states; row {hiddenRow} was asked for.");
        return new ReadOnlySpan<float>(_workspace.Input + (long)(_logitRows + hiddenRow) * Config.EmbeddingLength, Config.EmbeddingLength);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _team.Dispose();
        _weights.Dispose();
        _copy?.Dispose();
        _adapters.Dispose();
        _workspace.Dispose();
        _experts?.Dispose();
        File.Dispose();
    }

    private static bool AnyCoded(LayerWeights w) => w.Query.IsCoded || w.Key.IsCoded || w.Value.IsCoded || w.Gate is { IsCoded: true };

    private static void Check(ModelOptions o)
    {
        if (o.MaxBatchRows is < 1 or > 1 << 16 || o.MaxSequences is < 1 or > 1 << 12 || o.MaxLogitRows is < 1 or > 1 << 16 || o.ContextLength is < 0 or > 1 << 24)
            throw FlintException.Caller("model_options", $"Batches of 1 to {1 << 16} rows, 1 to {1 << 12} sequences and contexts up to {1 << 24} tokens are supported; found {o}.");
    }

    /// <summary>Fills what stays the same for every batch.</summary>
    private void Prepare()
    {
        ForwardState* s = _workspace.State;
        ModelConfig c = Config;
        s->Tokens = _workspace.Tokens;
        s->Positions = _workspace.Positions;
        s->RowSequences = _workspace.RowSequences;
        s->Pages = _workspace.Pages;
        s->PagesPerSequence = _workspace.PagesPerSequence;
        s->Width = c.EmbeddingLength;
        s->Heads = c.Heads;
        s->KvHeads = c.KvHeads;
        s->HeadLength = c.HeadLength;
        s->ValueLength = c.ValueLength;
        s->Inner = c.FeedForwardLength;
        s->Epsilon = c.NormEpsilon;
        s->PostEpsilon = c.PostNormEpsilon;
        s->EmbeddingType = _weights.Embedding.Type;
        s->EmbeddingData = _weights.Embedding.Data;
        s->EmbeddingRowBytes = Formats.WeightTypes.RowBytes(_weights.Embedding.Type, c.EmbeddingLength);
        s->NormEmbedding = c.NormEmbedding;
        s->Stream = _workspace.Stream;
        s->Block = _workspace.Block;
        s->Query = _workspace.Query;
        s->Key = _workspace.Key;
        s->Value = _workspace.Value;
        s->Gate = _workspace.Gate;
        s->Inner1 = _workspace.Inner1;
        s->Inner2 = _workspace.Inner2;
        s->Logits = _workspace.Logits;
        s->Input.Codes = _workspace.Codes;
        s->Input.Scales = _workspace.Scales;
        s->RopeSteps = _workspace.RopeSteps;
        s->RopePairs = c.RopeDimensions / 2;
        s->CosSin = _workspace.CosSin;
        s->Pairing = c.RopePairing;
        s->AttentionScale = c.AttentionScale;
        s->AttentionCap = c.AttentionCap;
        s->TileRows = _workspace.TileRows;
        s->TileStarts = _workspace.TileStarts;
        s->Scratch = _workspace.AttentionScratch;
        s->ScratchFloats = _workspace.AttentionScratchFloats;
        s->Vocabulary = c.VocabularySize;
        s->LogitScale = c.LogitScale;
        s->LogitCap = c.LogitCap;
    }

    private void Begin(Batch batch, ForwardState* s)
    {
        if (batch.Rows > Options.MaxBatchRows || batch.Sequences > Options.MaxSequences || batch.LogitRows > Options.MaxLogitRows)
        {
            throw new FlintException(
                FaultSide.Bug, "batch_size",
                $"The model takes {Options.MaxBatchRows} rows, {Options.MaxSequences} sequences and {Options.MaxLogitRows} rows of logits at once; the batch has {batch.Rows}, {batch.Sequences} and {batch.LogitRows}.");
        }

        s->Rows = batch.Rows;
        batch.Tokens.CopyTo(new Span<int>(s->Tokens, batch.Rows));
        batch.Positions.CopyTo(new Span<int>(s->Positions, batch.Rows));
        batch.RowSequences.CopyTo(new Span<int>(s->RowSequences, batch.Rows));
        foreach (int token in batch.Tokens)
        {
            if ((uint)token >= (uint)Config.VocabularySize)
                throw new FlintException(FaultSide.Bug, "token_id", $"Token {token} is outside the vocabulary of {Config.VocabularySize}.");
        }

        _adapters.Begin(this, batch);
        for (int i = 0; i < batch.Sequences; i++)
        {
            ReadOnlySpan<int> pages = batch.State(i).Pages;
            if (pages.Length > s->PagesPerSequence)
                throw new FlintException(FaultSide.Bug, "context_length", $"A sequence of {pages.Length} pages is longer than the model's context of {Config.ContextLength} tokens.");
            pages.CopyTo(new Span<int>(s->Pages + i * s->PagesPerSequence, pages.Length));
        }

        AttentionTiles.Make(batch, s, Attention.RowsPerItem(Config.Heads / Config.KvHeads), Threads);
    }

    private void AttentionBlock(Batch batch, ForwardState* s, int l)
    {
        LayerWeights w = _weights.Layers[l];
        KvPool pool = batch.State(0).Pool;
        s->QueryNorm = w.QueryNorm;
        s->KeyNorm = w.KeyNorm;
        s->Keys = pool.Keys(0, l, 0);
        s->Values = pool.Values(0, l, 0);
        s->PageStride = KvPool.PageBytes(pool.Shape);
        s->KvFormat = pool.Shape.Format;
        s->KeyHeadBytes = KvPages.Bytes(pool.Shape.Format, pool.Shape.HeadLength);
        s->ValueHeadBytes = KvPages.Bytes(pool.Shape.Format, pool.Shape.ValueLength);
        s->Window = Config.Windows[l];
        s->Rotate = s->RopePairs > 0 && (s->Window != 0 || Config.RopeOnFullLayers);
        s->NextItem = 0;

        GemmJob job = Job(s);
        job.Add(w.Query, s->Query, w.Query.Rows);
        job.Add(w.Key, s->Key, w.Key.Rows);
        job.Add(w.Value, s->Value, w.Value.Rows);
        if (w.Gate is not null) job.Add(w.Gate, s->Gate, w.Gate.Rows);
        Gemm.Run(_team, ref job);
        _adapters.Add(l, AdaptedMatrix.Query, s->Input, s->Query, w.Query.Rows);
        _adapters.Add(l, AdaptedMatrix.Key, s->Input, s->Key, w.Key.Rows);
        _adapters.Add(l, AdaptedMatrix.Value, s->Input, s->Value, w.Value.Rows);
        if (w.Gate is not null) _adapters.Add(l, AdaptedMatrix.Gate, s->Input, s->Gate, w.Gate.Rows);
        Adapt(s);

        Pass(_passes.Rotate, s);
        SetInput(s, _workspace.Input, w.Output.Columns, w.Output.IsCoded);
        _team.Run(_passes.Attend, s);
        if (l == _weights.Layers.Length - 1)
        {
            KeepOutputRows(batch, s);
            _adapters.KeepOutputRows(batch);
        }

        if (s->Rows == 0) return;
        Pass(_passes.GateOutput, s);

        job = Job(s);
        job.Add(w.Output, s->Block, w.Output.Rows);
        Gemm.Run(_team, ref job);
        _adapters.Add(l, AdaptedMatrix.Output, s->Input, s->Block, w.Output.Rows);
        Adapt(s);
        s->PostNorm = w.PostAttentionNorm;
        s->NextNorm = w.FeedForwardNorm;
        SetInput(s, _workspace.Input, Config.EmbeddingLength, w.FeedForwardGate.IsCoded || w.FeedForwardUp.IsCoded || w.Router is { IsCoded: true });
        Pass(_passes.Join, s);
    }

    private void FeedForwardBlock(Batch batch, ForwardState* s, int l)
    {
        LayerWeights w = _weights.Layers[l];
        if (w.Router is null) DenseFeedForward(s, w, l);
        else _experts!.Run(w, Job(s), s->Block);
        bool last = l == _weights.Layers.Length - 1;
        s->PostNorm = w.PostFeedForwardNorm;
        s->NextNorm = last ? _weights.OutputNorm : _weights.Layers[l + 1].AttentionNorm;
        SetInput(s, _workspace.Input, Config.EmbeddingLength, last ? _weights.Head.IsCoded : AnyCoded(_weights.Layers[l + 1]));
        if (last) s->Input.Rows = batch.LogitRows; // the head reads no others
        Pass(_passes.Join, s);
    }

    private void DenseFeedForward(ForwardState* s, LayerWeights w, int l)
    {
        GemmJob job = Job(s);
        job.Add(w.FeedForwardGate, s->Inner1, w.FeedForwardGate.Rows);
        job.Add(w.FeedForwardUp, s->Inner2, w.FeedForwardUp.Rows);
        Gemm.Run(_team, ref job);
        _adapters.Add(l, AdaptedMatrix.FeedForwardGate, s->Input, s->Inner1, w.FeedForwardGate.Rows);
        _adapters.Add(l, AdaptedMatrix.FeedForwardUp, s->Input, s->Inner2, w.FeedForwardUp.Rows);
        Adapt(s);

        SetInput(s, s->Inner1, Config.FeedForwardLength, w.FeedForwardDown.IsCoded);
        Pass(_passes.Activate, s);
        job = Job(s);
        job.Add(w.FeedForwardDown, s->Block, w.FeedForwardDown.Rows);
        Gemm.Run(_team, ref job);
        _adapters.Add(l, AdaptedMatrix.FeedForwardDown, s->Input, s->Block, w.FeedForwardDown.Rows);
        Adapt(s);
    }

    private void Head(Batch batch, ForwardState* s)
    {
        s->Rows = batch.LogitRows;
        _adapters.KeepFirst(batch.LogitRows);
        GemmJob job = Job(s);
        job.Add(_weights.Head, s->Logits, Config.VocabularySize);
        Gemm.Run(_team, ref job);
        _adapters.Add(0, AdaptedMatrix.Head, s->Input, s->Logits, Config.VocabularySize);
        Adapt(s);
        if (s->LogitScale != 1 || s->LogitCap != 0) _team.Run(_passes.Cap, s);
    }

    /// <summary>After the last attention only rows that want something go on: they move to the front, those that want logits first.</summary>
    private static void KeepOutputRows(Batch batch, ForwardState* s)
    {
        ReadOnlySpan<int> kept = batch.OutputRowIndices;
        for (int i = 0; i < kept.Length; i++)
        {
            if (kept[i] == i) continue;
            Move(s->Stream, s->Width, kept[i], i);
            Move(s->Input.Values, s->Input.Stride, kept[i], i);
            if (s->Gate != null) Move(s->Gate, s->Input.Columns, kept[i], i);
        }

        s->Rows = kept.Length;
        s->Input.Rows = kept.Length;
    }

    private static void Move(float* rows, int stride, int from, int to) =>
        new ReadOnlySpan<float>(rows + (long)from * stride, stride).CopyTo(new Span<float>(rows + (long)to * stride, stride));

    private static void SetInput(ForwardState* s, float* values, int columns, bool quantize)
    {
        s->Input.Values = values;
        s->Input.Rows = s->Rows;
        s->Input.Columns = columns;
        s->Input.Stride = columns;
        s->Quantize = quantize;
    }

    private GemmJob Job(ForwardState* s) => new()
    {
        Input = s->Input,
        Floats = _floats,
        Codes = _codes,
        Scratch = _workspace.GemmScratch,
        ScratchStride = _workspace.GemmScratchStride,
    };

    /// <summary>Adds to the products just computed what the batch's adapters add.</summary>
    private void Adapt(ForwardState* s) =>
        _adapters.Run(s->Rows >= RowsWorthATeam ? _team : null, _floats, _workspace.GemmScratch, _workspace.GemmScratchStride);

    /// <summary>Runs a pass over rows: by the team where there are enough of them, else right here.</summary>
    private void Pass(delegate*<void*, int, int, void> pass, ForwardState* s)
    {
        if (s->Rows >= RowsWorthATeam) _team.Run(pass, s);
        else pass(s, 0, 1);
    }
}
