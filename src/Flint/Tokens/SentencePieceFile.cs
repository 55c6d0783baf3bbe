using System.Buffers.Binary;
using System.Text;

namespace Flint.Tokens;

/// <summary>
/// A SentencePiece model (<c>tokenizer.model</c>): a protocol buffer of pieces, with what its trainer and normalizer were told
/// (sentencepiece_model.proto of the SentencePiece project). Fields that a vocabulary does not need are passed over.
/// </summary>
internal sealed class SentencePieceFile
{
    private const int PiecesField = 1, TrainerField = 2, NormalizerField = 3; // of the model
    private const int TextField = 1, ScoreField = 2, TypeField = 3; // of a piece
    private const int UnknownField = 40, BeginField = 41, EndField = 42, PadField = 43; // of the trainer
    private const int DummyPrefixField = 3; // of the normalizer

    private readonly List<string> _tokens = [];
    private readonly List<float> _scores = [];
    private readonly List<int> _types = [];
    private bool _isDamaged;

    /// <summary>The text of each token.</summary>
    public IReadOnlyList<string> Tokens => _tokens;

    /// <summary>The score of each.</summary>
    public IReadOnlyList<float> Scores => _scores;

    /// <summary>The type of each, in numbers that GGUF took over: <see cref="TokenType"/>.</summary>
    public IReadOnlyList<int> Types => _types;

    /// <summary>Ids of unknown, begin, end and padding; below 0 for none.</summary>
    public (int Unknown, int Begin, int End, int Pad) Ids { get; private set; } = (0, 1, 2, -1);

    /// <summary>Whether text begins with a space of its own.</summary>
    public bool AddsSpacePrefix { get; private set; } = true;

    /// <summary>Reads a model from memory; <paramref name="name"/> is named in errors.</summary>
    /// <exception cref="FlintException">Model file: it is damaged, or has no piece.</exception>
    public static SentencePieceFile Parse(ReadOnlySpan<byte> file, string name)
    {
        var model = new SentencePieceFile();
        var fields = new Fields(file);
        while (fields.Next())
        {
            switch (fields.Number)
            {
                case PiecesField: model.AddPiece(fields.Bytes); break;
                case TrainerField: model.ReadTrainer(fields.Bytes); break;
                case NormalizerField: model.ReadNormalizer(fields.Bytes); break;
            }
        }
        if (fields.IsDamaged || model._isDamaged || model._tokens.Count == 0)
            throw FlintException.File("sentencepiece_damaged", $"{name} is no SentencePiece model, or is damaged.");
        return model;
    }

    private void AddPiece(ReadOnlySpan<byte> piece)
    {
        string text = "";
        float score = 0;
        int type = (int)TokenType.Normal;
        var fields = new Fields(piece);
        while (fields.Next())
        {
            if (fields.Number == TextField) text = Encoding.UTF8.GetString(fields.Bytes);
            else if (fields.Number == ScoreField && fields.Bytes.Length == sizeof(float)) score = BinaryPrimitives.ReadSingleLittleEndian(fields.Bytes);
            else if (fields.Number == TypeField) type = (int)fields.Value;
        }
        _isDamaged |= fields.IsDamaged;
        _tokens.Add(text);
        _scores.Add(score);
        _types.Add(type);
    }

    private void ReadTrainer(ReadOnlySpan<byte> trainer)
    {
        var ids = Ids;
        var fields = new Fields(trainer);
        while (fields.Next())
        {
            int value = (int)fields.Value;
            switch (fields.Number)
            {
                case UnknownField: ids.Unknown = value; break;
                case BeginField: ids.Begin = value; break;
                case EndField: ids.End = value; break;
                case PadField: ids.Pad = value; break;
            }
        }
        _isDamaged |= fields.IsDamaged;
        Ids = ids;
    }

    private void ReadNormalizer(ReadOnlySpan<byte> normalizer)
    {
        var fields = new Fields(normalizer);
        while (fields.Next())
            if (fields.Number == DummyPrefixField) AddsSpacePrefix = fields.Value != 0;
        _isDamaged |= fields.IsDamaged;
    }

    /// <summary>Walks the fields of a message; damage ends the walk.</summary>
    private ref struct Fields(ReadOnlySpan<byte> message)
    {
        private ReadOnlySpan<byte> _rest = message;

        public int Number { get; private set; }

        /// <summary>The value of a field that is a number.</summary>
        public ulong Value { get; private set; }

        /// <summary>The contents of a field that is none.</summary>
        public ReadOnlySpan<byte> Bytes { get; private set; }

        public bool IsDamaged { get; private set; }

        public bool Next()
        {
            if (_rest.IsEmpty || IsDamaged) return false;
            ulong tag = Varint();
            Number = (int)(tag >> 3);
            Value = 0;
            Bytes = default;
            switch (tag & 7)
            {
                case 0: Value = Varint(); break;
                case 1: Bytes = Take(8); break;
                case 2: Bytes = Take(Varint()); break;
                case 5: Bytes = Take(4); break;
                default: IsDamaged = true; break;
            }
            return !IsDamaged;
        }

        private ulong Varint()
        {
            ulong value = 0;
            for (int shift = 0; shift < 64 && !_rest.IsEmpty; shift += 7)
            {
                byte next = _rest[0];
                _rest = _rest[1..];
                value |= (ulong)(next & 0x7f) << shift;
                if (next < 0x80) return value;
            }
            IsDamaged = true;
            return 0;
        }

        private ReadOnlySpan<byte> Take(ulong length)
        {
            if (length > (ulong)_rest.Length)
            {
                IsDamaged = true;
                return default;
            }
            ReadOnlySpan<byte> taken = _rest[..(int)length];
            _rest = _rest[(int)length..];
            return taken;
        }
    }
}
