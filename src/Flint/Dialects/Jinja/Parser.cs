using System.Runtime.CompilerServices;

namespace Flint.Dialects;

/// <summary>Recursive-descent parser of template statements; expressions are in the other part.</summary>
internal sealed partial class Parser
{
    private static readonly string[] Unsupported = ["extends", "include", "import", "from", "autoescape"];

    private readonly List<Token> tokens;
    private readonly Stack<string> openTags = new();
    private readonly Stack<string[]> endTags = new();
    private int position;
    private int depth;

    private Parser(List<Token> tokens) => this.tokens = tokens;

    /// <summary>String constants of the template, which tell what it knows of.</summary>
    public HashSet<string> Constants { get; } = [];

    /// <summary>Parses a whole template into its statements.</summary>
    public static (Statement[] Body, HashSet<string> Constants) Parse(string source)
    {
        var parser = new Parser(Lexer.Tokenize(source));
        return (parser.ParseBody(null), parser.Constants);
    }

    private Token Current => tokens[position];

    private Token Following => tokens[Math.Min(position + 1, tokens.Count - 1)];

    private Token Take()
    {
        Token token = tokens[position];
        if (token.Kind != TokenKind.End)
            position++;
        return token;
    }

    private bool TakeName(string name)
    {
        bool found = Current.IsName(name);
        if (found)
            Take();
        return found;
    }

    private bool TakeOperator(string op)
    {
        bool found = Current.IsOperator(op);
        if (found)
            Take();
        return found;
    }

    private Token Expect(bool found, string expected)
    {
        if (found)
            return Take();
        throw Fail(Current.Kind == TokenKind.End
            ? $"unexpected end of template, expected '{expected}'."
            : $"expected token '{expected}', got '{Current.Describe()}'");
    }

    private void ExpectOperator(string op) => Expect(Current.IsOperator(op), op);

    private Token ExpectIdentifier() => Expect(Current.Kind == TokenKind.Name, "name");

    private void ExpectBlockEnd() => Expect(Current.Kind == TokenKind.BlockEnd, "end of statement block");

    private TemplateFault Fail(string message, int line = 0) => TemplateFault.Syntax(message, line > 0 ? line : Current.Line);

    private void Enter()
    {
        RuntimeHelpers.EnsureSufficientExecutionStack();
        if (++depth > TemplateLimits.Nesting)
            throw Fail($"the template nests deeper than {TemplateLimits.Nesting}");
    }

    /// <summary>Statements up to one of the end tags, which stays the current token.</summary>
    private Statement[] ParseBody(string[]? ends)
    {
        Enter();
        var body = new List<Statement>();
        if (ends is not null)
            endTags.Push(ends);
        while (Current.Kind != TokenKind.End)
        {
            Token token = Take();
            if (token.Kind == TokenKind.Data)
            {
                body.Add(new DataNode(token.Text, token.Line));
            }
            else if (token.Kind == TokenKind.VariableBegin)
            {
                body.Add(new OutputNode(ParseTuple(true), token.Line));
                Expect(Current.Kind == TokenKind.VariableEnd, "end of print statement");
            }
            else
            {
                if (ends is not null && Current.Kind == TokenKind.Name && ends.Contains(Current.Text))
                    break;
                ParseStatement(body);
                ExpectBlockEnd();
            }
        }

        if (ends is not null)
            endTags.Pop();
        depth--;
        return [.. body];
    }

    /// <summary>The body of a block statement: the end of its tag, its statements, then the end tag, which is returned.</summary>
    private Statement[] ParseBlock(out string end, params string[] ends)
    {
        TakeOperator(":");
        ExpectBlockEnd();
        Statement[] body = ParseBody(ends);
        if (Current.Kind == TokenKind.End)
        {
            endTags.Push(ends);
            throw UnknownTag(null, Current.Line);
        }

        end = Take().Text;
        return body;
    }

    private TemplateFault UnknownTag(string? name, int line)
    {
        string message = name is null ? "Unexpected end of template." : $"Encountered unknown tag '{name}'.";
        if (endTags.TryPeek(out string[]? looking))
        {
            string wanted = string.Join(" or ", looking.Select(t => $"'{t}'"));
            message += name is not null && endTags.Any(t => t.Contains(name))
                ? $" You probably made a nesting mistake. Jinja is expecting this tag, but currently looking for {wanted}."
                : $" Jinja was looking for the following tags: {wanted}.";
        }

        if (openTags.TryPeek(out string? open))
            message += $" The innermost block that needs to be closed is '{open}'.";
        return Fail(message, line);
    }

    private void ParseStatement(List<Statement> body)
    {
        Token tag = Current;
        if (tag.Kind != TokenKind.Name)
            throw Fail("tag name expected");
        if (Unsupported.Contains(tag.Text))
            throw Fail($"the tag '{tag.Text}' is not supported in chat templates");
        openTags.Push(tag.Text);
        Take();
        switch (tag.Text)
        {
            case "for": body.Add(ParseFor(tag.Line)); break;
            case "if": body.Add(ParseIf(tag.Line)); break;
            case "set": body.Add(ParseSet(tag.Line)); break;
            case "macro": body.Add(ParseMacro(tag.Line)); break;
            case "call": body.Add(ParseCallBlock(tag.Line)); break;
            case "filter": body.Add(ParseFilterBlock(tag.Line)); break;
            case "with": body.Add(ParseWith(tag.Line)); break;
            case "block": body.Add(ParseNamedBlock(tag.Line)); break;
            case "print": ParsePrint(body); break;
            case "break": body.Add(new JumpNode(Flow.Break, tag.Line)); break;
            case "continue": body.Add(new JumpNode(Flow.Continue, tag.Line)); break;
            case "generation":
                body.Add(new GenerationNode(new MacroBody(null, [], ParseBlock(out _, "endgeneration"), tag.Line), tag.Line));
                break;
            default:
                openTags.Pop();
                throw UnknownTag(tag.Text, tag.Line);
        }

        openTags.Pop();
    }

    private ForNode ParseFor(int line)
    {
        Target target = ParseTarget(false, "in");
        Expect(Current.IsName("in"), "in");
        Expression items = ParseTuple(false, "recursive");
        Expression? test = TakeName("if") ? ParseExpression() : null;
        bool recursive = TakeName("recursive");
        Statement[] body = ParseBlock(out string end, "endfor", "else");
        Statement[] otherwise = end == "else" ? ParseBlock(out _, "endfor") : [];
        foreach (Node node in Descendants([target, .. body, .. otherwise]))
        {
            if (node is NameTarget { Name: "loop" })
                throw new TemplateFault("TemplateAssertionError", "Can't assign to special loop variable in for-loop target", node.Line);
        }

        return new ForNode(target, items, test, recursive, body, otherwise, line);
    }

    private static IEnumerable<Node> Descendants(IEnumerable<Node> roots)
    {
        var pending = new Stack<Node>(roots);
        while (pending.TryPop(out Node? node))
        {
            yield return node;
            if (node is ForNode)
                continue; // checked when it was parsed
            foreach (Node child in node.Children)
                pending.Push(child);
        }
    }

    private IfNode ParseIf(int line)
    {
        var branches = new List<KeyValuePair<Expression, Statement[]>>();
        string end;
        do
        {
            Expression test = ParseTuple(false);
            branches.Add(new(test, ParseBlock(out end, "elif", "else", "endif")));
        }
        while (end == "elif");
        return new IfNode([.. branches], end == "else" ? ParseBlock(out _, "endif") : [], line);
    }

    private Statement ParseSet(int line)
    {
        Target target = ParseTarget(true, null);
        if (TakeOperator("="))
            return new SetNode(target, ParseTuple(true), line);
        var text = new BlockTextExpression(line);
        Expression? filter = Current.IsOperator("|") ? ParseFilters(text) : null;
        return new SetBlockNode(target, filter, text, ParseBlock(out _, "endset"), line);
    }

    private MacroNode ParseMacro(int line)
    {
        string name = ParseIdentifierTarget();
        MacroParameter[] parameters = ParseSignature();
        return new MacroNode(new MacroBody(name, parameters, ParseBlock(out _, "endmacro"), line), line);
    }

    private CallBlockNode ParseCallBlock(int line)
    {
        MacroParameter[] parameters = Current.IsOperator("(") ? ParseSignature() : [];
        if (ParseExpression() is not CallExpression call)
            throw Fail("expected call", line);
        return new CallBlockNode(call, new MacroBody(null, parameters, ParseBlock(out _, "endcall"), line), line);
    }

    private MacroParameter[] ParseSignature()
    {
        var parameters = new List<MacroParameter>();
        ExpectOperator("(");
        while (!Current.IsOperator(")"))
        {
            if (parameters.Count > 0)
                ExpectOperator(",");
            string name = ParseIdentifierTarget();
            Expression? standard = TakeOperator("=") ? ParseExpression() : null;
            if (standard is null && parameters.Exists(p => p.Default is not null))
                throw Fail("non-default argument follows default argument");
            if (parameters.Exists(p => p.Name == name))
                throw Fail($"duplicate argument '{name}' in function definition");
            parameters.Add(new MacroParameter(name, standard));
        }

        ExpectOperator(")");
        return [.. parameters];
    }

    private FilterBlockNode ParseFilterBlock(int line)
    {
        var text = new BlockTextExpression(line);
        Expression filter = ParseFilters(ParseFilter(text));
        return new FilterBlockNode(filter, text, ParseBlock(out _, "endfilter"), line);
    }

    private WithNode ParseWith(int line)
    {
        var targets = new List<Target>();
        var values = new List<Expression>();
        while (Current.Kind != TokenKind.BlockEnd)
        {
            if (targets.Count > 0)
                ExpectOperator(",");
            targets.Add(ParseTarget(false, null));
            ExpectOperator("=");
            values.Add(ParseExpression());
        }

        return new WithNode([.. targets], [.. values], ParseBlock(out _, "endwith"), line);
    }

    private BlockNode ParseNamedBlock(int line)
    {
        string name = ExpectIdentifier().Text;
        bool scoped = TakeName("scoped");
        if (TakeName("required"))
            throw Fail("required blocks need inheritance, which is not supported in chat templates");
        Statement[] body = ParseBlock(out _, "endblock");
        TakeName(name);
        return new BlockNode(name, scoped, body, line);
    }

    private void ParsePrint(List<Statement> body)
    {
        bool first = true;
        while (Current.Kind != TokenKind.BlockEnd)
        {
            if (!first)
                ExpectOperator(",");
            first = false;
            body.Add(new OutputNode(ParseExpression(), Current.Line));
        }
    }

    private string ParseIdentifierTarget()
    {
        Token token = ExpectIdentifier();
        if (IsConstantName(token.Text))
            throw Fail("can't assign to 'name'", token.Line);
        return token.Text;
    }

    private static bool IsConstantName(string name) => name is "true" or "false" or "none" or "True" or "False" or "None";

    /// <summary>An assignment target: a name, several, or a namespace attribute where allowed.</summary>
    private Target ParseTarget(bool withNamespace, string? until)
    {
        int line = Current.Line;
        var items = new List<Target>();
        bool tuple = false;
        while (true)
        {
            bool ended = Current.Kind is TokenKind.BlockEnd or TokenKind.VariableEnd || Current.IsOperator(")") || Current.IsOperator("=")
                || (until is not null && Current.IsName(until));
            if (ended && items.Count > 0)
                break;
            bool attribute = withNamespace && Current.Kind == TokenKind.Name && !IsConstantName(Current.Text) && Following.IsOperator(".");
            items.Add(attribute ? ParseNamespaceTarget() : ToTarget(ParsePrimary()));
            if (!TakeOperator(","))
                break;
            tuple = true;
        }

        return tuple ? new TupleTarget([.. items], line) : items[0];
    }

    private NamespaceTarget ParseNamespaceTarget()
    {
        Token owner = Take();
        Take();
        return new NamespaceTarget(owner.Text, ExpectIdentifier().Text, owner.Line);
    }

    private Target ToTarget(Expression expression) => expression switch
    {
        NameExpression name => new NameTarget(name.Name, name.Line),
        SequenceExpression { IsTuple: true } tuple => new TupleTarget([.. tuple.Items.Select(ToTarget)], tuple.Line),
        _ => throw Fail($"can't assign to '{expression.GetType().Name.Replace("Expression", "", StringComparison.Ordinal).ToLowerInvariant()}'", expression.Line),
    };
}
