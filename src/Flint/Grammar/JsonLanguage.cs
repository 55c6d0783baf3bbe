using System.Text;

namespace Flint.Grammar;

/// <summary>The parts of JSON (RFC 8259) as expressions. White space is at most a space, or a line break and an indentation.</summary>
internal sealed class JsonLanguage
{
    /// <summary>The deepest indentation, in characters.</summary>
    public const int MaxIndentation = 64;

    private Language? _value;
    private Language? _object;
    private Language? _array;

    /// <summary>Expressions of an automaton.</summary>
    /// <param name="automaton">Makes them.</param>
    /// <param name="escapesTags">Whether <c>&lt;</c> is escaped in strings, so that no tag can be in one.</param>
    public JsonLanguage(Automaton automaton, bool escapesTags = false)
    {
        Automaton = automaton;
        Plain = TextForm.Plain(automaton);
        Inner = TextForm.Json(automaton, escapesTags);
        Quote = automaton.Literal("\""u8);
        Space = automaton.Optional(automaton.Either(
            automaton.Literal(" "u8),
            automaton.Then(automaton.Literal("\n"u8), automaton.Repeat(automaton.Bytes(ByteSet.Of(" \t"u8)), 0, MaxIndentation))));
        Colon = automaton.Then(automaton.Literal(":"u8), Space);
        Comma = automaton.Then(automaton.Literal(","u8), Space);
        FreeCharacter = MakeFreeCharacter();
        FreeText = automaton.Then(automaton.Repeat(FreeCharacter), Quote);
        String = automaton.Then(Quote, FreeText);
        Integer = automaton.Then(automaton.Optional(automaton.Literal("-"u8)), Whole);
        Decimal = automaton.Then(Integer, automaton.Optional(automaton.Then(automaton.Literal("."u8), automaton.Repeat(Digit, 1))));
        Language exponent = automaton.Then(
            automaton.Bytes(ByteSet.Of("eE"u8)), automaton.Optional(automaton.Bytes(ByteSet.Of("+-"u8))), automaton.Repeat(Digit, 1, 3));
        Number = automaton.Then(Decimal, automaton.Optional(exponent));
        Boolean = automaton.Either(automaton.Literal("true"u8), automaton.Literal("false"u8));
        Null = automaton.Literal("null"u8);
    }

    /// <summary>Makes the expressions.</summary>
    public Automaton Automaton { get; }

    /// <summary>Text that stands by itself.</summary>
    public TextForm Plain { get; }

    /// <summary>Text inside a string.</summary>
    public TextForm Inner { get; }

    /// <summary>The mark around a string.</summary>
    public Language Quote { get; }

    /// <summary>White space, or none.</summary>
    public Language Space { get; }

    /// <summary>A colon, and the space behind it.</summary>
    public Language Colon { get; }

    /// <summary>A comma, and the space behind it.</summary>
    public Language Comma { get; }

    /// <summary>A character of a string, in any of JSON's writings.</summary>
    public Language FreeCharacter { get; }

    /// <summary>The rest of any string, with the mark that ends it.</summary>
    public Language FreeText { get; }

    /// <summary>Any string.</summary>
    public Language String { get; }

    /// <summary>A whole number.</summary>
    public Language Integer { get; }

    /// <summary>A number without an exponent.</summary>
    public Language Decimal { get; }

    /// <summary>A number that is not whole, without an exponent.</summary>
    public Language Fraction => Automaton.Both(
        Decimal, Automaton.Not(Automaton.Then(Integer, Automaton.Optional(Automaton.Then(Automaton.Literal("."u8), Automaton.Repeat(Automaton.Literal("0"u8), 1))))));

    /// <summary>Any number.</summary>
    public Language Number { get; }

    /// <summary>True or false.</summary>
    public Language Boolean { get; }

    /// <summary>Null.</summary>
    public Language Null { get; }

    /// <summary>Any value.</summary>
    public Language Value => _value ??= Automaton.Rule(() => Automaton.Either(String, Number, Boolean, Null, Object, Array));

    /// <summary>Any object.</summary>
    public Language Object => _object ??= Automaton.Rule(() =>
        Automaton.Then(Automaton.Literal("{"u8), Space, List(Automaton.Then(String, Colon, Value)), Automaton.Literal("}"u8)));

    /// <summary>Any array.</summary>
    public Language Array => _array ??= Automaton.Rule(() => Automaton.Then(Automaton.Literal("["u8), Space, List(Value), Automaton.Literal("]"u8)));

    /// <summary>A digit.</summary>
    public Language Digit => Automaton.Bytes(ByteSet.Range('0', '9'));

    /// <summary>Digits before a point: none needless.</summary>
    public Language Whole => Automaton.Either(Automaton.Literal("0"u8), Automaton.Then(Automaton.Bytes(ByteSet.Range('1', '9')), Automaton.Repeat(Digit)));

    /// <summary>A string of a text.</summary>
    public Language Quoted(Language text) => Automaton.Then(Quote, text, Quote);

    /// <summary>The bytes of a string, its marks among them.</summary>
    public byte[] Quoted(string text) => [(byte)'"', .. Inner.Encode(text), (byte)'"'];

    private Language List(Language item) =>
        Automaton.Optional(Automaton.Then(item, Automaton.Repeat(Automaton.Then(Comma, item)), Space));

    private Language MakeFreeCharacter()
    {
        Language hex = Automaton.Bytes(ByteSet.Range('0', '9') | ByteSet.Range('a', 'f') | ByteSet.Range('A', 'F'));
        Language Digits(string first) => Automaton.Bytes(ByteSet.Of(Encoding.ASCII.GetBytes(first)));
        Language d = Digits("dD"), three = Automaton.Repeat(hex, 3, 3), two = Automaton.Repeat(hex, 2, 2);
        Language single = Automaton.Either(
            Automaton.Then(Digits("0123456789abcefABCEF"), three),
            Automaton.Then(d, Digits("01234567"), two));
        Language pair = Automaton.Then(
            Automaton.Then(d, Digits("89abAB"), two), Automaton.Literal("\\u"u8), Automaton.Then(d, Digits("cdefCDEF"), two));
        return Automaton.Either(
            Inner.AnyCharacter,
            Automaton.Literal("\\/"u8),
            Automaton.Then(Automaton.Literal("\\u"u8), Automaton.Either(single, pair)));
    }
}
